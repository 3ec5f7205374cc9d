//! LongEval: published predictions score as published; made-up cases have the published form.

mod scripted;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use camelid_chat::requests::{RequestStore, RunSettings};
use camelid_eval::longeval::{
    AnswerFile, CaseFile, Completing, LengthScore, LongEvalCase, LongEvalModel, LongEvalScores, LongEvalTask,
    predictions_path,
};
use camelid_report::Report;
use camelid_tests::oracles;
use scripted::scripted;

#[test]
fn published_predictions_have_their_published_accuracies() {
    let Some(folder) = oracles().map(|folder| folder.join("longeval")) else { return };
    for (file, right) in [
        ("lines/predictions/longchat-13b-16k/200_response.txt", 48),
        ("lines/predictions/longchat-13b-16k/300_response.txt", 47),
        ("lines/predictions/chatglm2-6b/200_response.txt", 16),
        ("lines/predictions/chatglm2-6b/300_response.txt", 7),
        ("topics/predictions/longchat-13b-16k/5_response.txt", 50),
        ("topics/predictions/chatglm2-6b/5_response.txt", 43),
    ] {
        let answers = AnswerFile::read(&folder.join(file)).unwrap();
        let score = LengthScore::of(&answers);
        assert_eq!((score.cases, score.correct), (50, right), "{file}");
        if let Some(stated) = score.stated_accuracy {
            assert_eq!(score.accuracy, stated, "{file}");
        } else {
            assert_eq!(score.task, LongEvalTask::Topics, "{file}: only topics come without an accuracy");
        }
        assert_eq!(Path::new(file).parent().unwrap().file_name().unwrap().to_str().unwrap(), score.model);
        assert!(score.low < score.accuracy && score.accuracy <= score.high);
    }
    let file = AnswerFile::read(&folder.join("lines/predictions/longchat-13b-16k/200_response.txt")).unwrap();
    assert_eq!(LengthScore::of(&file).prompt_tokens.unwrap().round(), 4805.0);
}

#[test]
fn published_test_files_are_read_and_written_with_the_same_fields() {
    let Some(folder) = oracles().map(|folder| folder.join("longeval")) else { return };
    let out = tempfile::tempdir().unwrap();
    for (name, task, size) in [
        ("lines/testcases/200_lines.jsonl", LongEvalTask::Lines, 200),
        ("lines/testcases/300_lines.jsonl", LongEvalTask::Lines, 300),
        ("topics/testcases/5_topics.jsonl", LongEvalTask::Topics, 5),
    ] {
        let published = CaseFile::read(&folder.join(name)).unwrap();
        assert_eq!((published.task, published.size, published.cases.len()), (task, size, 50));
        let made = CaseFile::generate(task, size, 2, 0).unwrap();
        let path = made.write(out.path()).unwrap();
        assert_eq!(CaseFile::read(&path).unwrap(), made);
        let fields = |path: &Path| -> Vec<String> {
            let text = std::fs::read_to_string(path).unwrap();
            let row: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            let mut fields: Vec<String> = row.as_object().unwrap().keys().cloned().collect();
            fields.sort();
            fields
        };
        assert_eq!(fields(&path), fields(&folder.join(name)));
    }
}

#[test]
fn made_up_records_hold_every_name_once_and_the_right_number() {
    let file = CaseFile::generate(LongEvalTask::Lines, 200, 5, 7).unwrap();
    assert_eq!(file, CaseFile::generate(LongEvalTask::Lines, 200, 5, 7).unwrap());
    assert_ne!(file, CaseFile::generate(LongEvalTask::Lines, 200, 5, 8).unwrap());
    for case in &file.cases {
        let LongEvalCase::Lines { name, place, number, prompt, .. } = case else { panic!("{case:?}") };
        let lines: Vec<&str> = prompt.lines().filter(|line| line.starts_with("line ")).collect();
        let names: HashSet<&str> = lines.iter().map(|line| line.split([' ', ':']).nth(1).unwrap()).collect();
        assert_eq!((lines.len(), names.len()), (200, 200));
        assert_eq!(lines[*place], format!("line {name}: REGISTER_CONTENT is <{number}>"));
        assert!(prompt.ends_with(&format!("in line {name}? Answer with the number. ")));
    }
    let topics = CaseFile::generate(LongEvalTask::Topics, 25, 2, 7).unwrap();
    for case in &topics.cases {
        let LongEvalCase::Topics { topics, prompt, .. } = case else { panic!("{case:?}") };
        assert_eq!(topics.iter().collect::<HashSet<_>>().len(), 25);
        assert_eq!(prompt.matches("USER: I would like to discuss the topic of ").count(), 25);
        let first = topics[0].replacen("The ", "the ", 1);
        assert!(prompt.find(&first).unwrap() < prompt.find("With pleasure").unwrap());
    }
    let error = CaseFile::generate(LongEvalTask::Topics, 999, 1, 0).unwrap_err().to_string();
    assert!(error.contains("`length` is 999; expected 1 to 240 topics"), "{error}");
}

#[test]
fn a_model_is_asked_once_and_its_predictions_are_filed() {
    let dir = tempfile::tempdir().unwrap();
    let store = RequestStore::open(&dir.path().join("replies.jsonl")).unwrap();
    let cases = CaseFile::generate(LongEvalTask::Lines, 4, 8, 0).unwrap();
    // Finds what stands in the first half of the record.
    let reader = |prompt: &str| {
        let asked = prompt.rsplit_once("in line ").unwrap().1.split('?').next().unwrap().to_owned();
        let lines: Vec<&str> = prompt.lines().filter(|line| line.starts_with("line ")).collect();
        let found = lines[..2].iter().find(|line| line.contains(&asked));
        Ok(found.map_or("I cannot tell.".to_owned(), |line| format!("It is {line}")))
    };
    let generator = Completing::new(scripted(|_: &str, _, _: &str| 0.0, reader));
    let model = LongEvalModel {
        name: "half/reader",
        request_name: "half-reader 1",
        generator: &generator,
        settings: RunSettings { concurrency: 1, ..RunSettings::default() },
        max_new_tokens: None,
    };
    let stop = AtomicBool::new(false);
    let answers = model.answer(&cases, &store, dir.path(), &stop, &mut |_| ()).unwrap();
    let early = cases.cases.iter().filter(|case| matches!(case, LongEvalCase::Lines { place: 0 | 1, .. }));
    assert_eq!(answers.correct(), early.count());
    assert!(answers.correct() > 0 && answers.correct() < 8);
    let path = predictions_path(dir.path(), "half/reader", &cases);
    assert!(path.ends_with("lines/predictions/half_reader/4_response.txt"));
    let read = AnswerFile::read(&path).unwrap();
    assert_eq!((&read.answers, read.correct()), (&answers.answers, answers.correct()));
    assert_eq!(store.len(), 8);
    model.answer(&cases, &store, dir.path(), &stop, &mut |(done, of)| assert_eq!(done, of)).unwrap();

    let scores = LongEvalScores::new(&[read], "camelid eval longeval run".to_owned(), Vec::new());
    assert!(scores.text().contains("half_reader"), "{}", scores.text());
    let page = scores.page().unwrap();
    assert!(page.contains("<svg") && page.contains("accuracy"), "{page}");
}
