//! Whole runs against a real HTTP server: interrupted, resumed, scored and reported.
#![cfg(feature = "judge")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use camelid_chat::openai::OpenAiConfig;
use camelid_chat::requests::{RequestStore, RunError, RunSettings};
use camelid_eval::judge::{
    Answers, Judge, JudgeError, Judged, Mode, Model, Opponents, PromptSet, Protocol, Question, QuestionSet,
    Resampling, Scoreboard, Session, Verdict, battles,
};
#[cfg(feature = "report")]
use camelid_eval::report::JudgeReport;
use camelid_ratings::{BradleyTerry, PairCounts, PositionEffect};
use camelid_report::{Report, Tabular};
use camelid_tests::chat_server::{Answer, Asked, Server};

/// MT-bench's questions and references, or as many made up in its categories.
fn mt_bench() -> (QuestionSet, Option<PathBuf>) {
    if let Some(folder) = camelid_tests::oracles() {
        let questions = folder.join("fastchat/mt_bench_question.jsonl");
        let references = folder.join("fastchat/mt_bench_reference_gpt-4.jsonl");
        if questions.is_file() && references.is_file() {
            return (QuestionSet::read(&questions, "MT-bench").unwrap(), Some(references));
        }
    }
    let categories =
        ["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"];
    let question = |number: usize| Question {
        id: (81 + number).to_string(),
        category: categories[number / 10].to_owned(),
        turns: vec![format!("What is number {number}?"), format!("And what is after {number}?")],
        reference: vec![format!("It is {number}."), format!("It is {}.", number + 1)],
        temperature: None,
    };
    (QuestionSet { name: "made up".to_owned(), questions: (0..80).map(question).collect() }, None)
}

/// A grade from 1 to 10 that follows from the text.
fn grade(text: &str) -> usize {
    1 + text.bytes().map(usize::from).sum::<usize>() % 10
}

fn model(server: &Server, name: &str, retries: u32) -> Model {
    let mut config = OpenAiConfig::new(server.base_url(), name);
    config.retries = retries;
    config.first_wait_ms = 20;
    config.longest_wait_ms = 200;
    let settings = RunSettings { concurrency: 8, ..RunSettings::default() };
    Model::endpoint(name, config, settings).unwrap()
}

fn session(server: &Server, models: &[&str], mode: Mode, retries: u32) -> Session {
    let (questions, references) = mt_bench();
    Session {
        questions,
        references: references.map(|path| Answers::read(&path).unwrap()),
        seed: 0,
        models: models.iter().map(|name| model(server, name, retries)).collect(),
        given: Vec::new(),
        judge: Judge {
            model: model(server, "judge", retries),
            prompts: PromptSet::own().unwrap(),
            protocol: Protocol::mt_bench().unwrap(),
            without_references: false,
        },
        mode,
        opponents: Opponents::All,
        spending_limit: None,
    }
}

fn run(session: &Session, store: &Path) -> Result<Judged, JudgeError> {
    session.run(&RequestStore::open(store).unwrap(), &AtomicBool::new(false), &mut |_, _| {})
}

fn is_judge(asked: &Asked) -> bool {
    asked.body["model"] == "judge"
}

#[test]
fn a_run_over_eighty_questions_survives_its_server_and_pays_for_nothing_twice() {
    let mut server = Server::start(|asked| {
        if is_judge(asked) {
            Answer::Text(format!("It could be worse. Grade: [[{}]]", grade(asked.last())))
        } else {
            Answer::Text(format!("I say {} to that.", grade(asked.last())))
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("replies.jsonl");
    let first = session(&server, &["vicuna"], Mode::Single, 100);
    let forecast = first.forecast(&RequestStore::open(&store).unwrap()).unwrap();
    assert_eq!((forecast.answers[0].1.new, forecast.judgments.new), (160, 160));
    let judged = std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&first, &store));
        // Once among the answers, once among the judgments.
        for count in [60, 220] {
            server.wait_until(|counts| counts.answered_in_all() >= count);
            server.restart();
        }
        running.join().unwrap()
    })
    .unwrap();
    let counts = server.counts();
    assert_eq!(counts.answered_in_all(), 320);
    assert!(counts.answered.values().all(|times| *times == 1), "a finished request was repeated");
    assert_eq!((judged.tally.answered, judged.tally.failed, judged.judgments.len()), (320, 0, 160));

    // Started again, the run asks nobody and comes to the same judgments.
    server.stop();
    let again = run(&session(&server, &["vicuna"], Mode::Single, 0), &store).unwrap();
    assert_eq!((again.tally.answered, again.tally.stored), (0, 320));
    assert_eq!(again.judgments, judged.judgments);

    let board =
        Scoreboard::new(&first.questions, Mode::Single, &judged.judgments, None, Resampling::default());
    let score = &board.scores[0];
    assert_eq!((score.grades, score.errors, score.turns.len(), score.categories.len()), (160, 0, 2, 8));
    let mean = judged
        .judgments
        .iter()
        .map(|row| match row.verdict {
            Some(Verdict::Rating(grade)) => grade,
            other => panic!("{other:?}"),
        })
        .sum::<f64>()
        / 160.0;
    let overall = score.overall.unwrap();
    assert!((overall.value - mean).abs() < 1e-12);
    assert!(overall.low.unwrap() < mean && mean < overall.high.unwrap());
    assert_eq!(score.judged_by.judge, "judge");
    assert_eq!(score.judged_by.versions, ["judge-0613 (fp_test)"]);
    // Reasoning, mathematics and coding are judged beside references.
    assert_eq!(score.judged_by.prompts.len(), 4);
    let beside = judged.judgments.iter().filter(|row| row.prompt.contains("reference")).count();
    assert_eq!(beside, 60);
    #[cfg(feature = "report")]
    {
        let report =
            JudgeReport::new("MT-bench", &first, judged, Resampling::default(), "camelid eval".to_owned());
        let page = report.page().unwrap();
        assert!(page.matches("<svg").count() >= 2 && !page.contains("src=\"http"));
        assert!(page.contains("judge-0613") && page.contains(&report.judgments[0].prompt_hash));
        assert_eq!(report.frame().unwrap().height(), 160);
    }
}

#[test]
fn a_run_that_ended_without_its_server_goes_on_with_what_is_lacking() {
    let mut server = Server::start(|asked| {
        let text = if is_judge(asked) { "Grade: [[5]]".to_owned() } else { asked.last().to_owned() };
        Answer::Text(text)
    });
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("replies.jsonl");
    let first = session(&server, &["vicuna"], Mode::Single, 0);
    let broken = std::thread::scope(|scope| {
        let running = scope.spawn(|| run(&first, &store));
        server.wait_until(|counts| counts.answered_in_all() >= 200);
        server.stop();
        running.join().unwrap()
    })
    .unwrap();
    let errors = broken.judgments.iter().filter(|row| row.verdict.is_none()).count();
    assert!(errors > 0 && broken.tally.failed == errors, "{errors} {:?}", broken.tally);
    server.restart();
    let whole = run(&session(&server, &["vicuna"], Mode::Single, 0), &store).unwrap();
    assert!(whole.judgments.iter().all(|row| row.verdict.is_some()));
    assert_eq!(whole.tally.answered, errors);
    assert!(server.counts().answered.values().all(|times| *times == 1), "a finished request was repeated");
}

#[test]
fn orders_that_contradict_each_other_are_ties_and_the_first_place_shows() {
    // The judge likes the answer of `strong`; between the others, whatever it sees first.
    let server = Server::start(|asked| {
        if !is_judge(asked) {
            return Answer::Text(format!("My name is {}.", asked.body["model"].as_str().unwrap()));
        }
        let prompt = asked.last();
        let first = prompt.find("assistant A").unwrap();
        let second = prompt[first..].find("assistant B").unwrap() + first;
        let strong = prompt.find("My name is strong.");
        let verdict = match strong {
            Some(at) if at > second => "[[B]]",
            _ => "[[A]]",
        };
        Answer::Text(format!("Verdict: {verdict}"))
    });
    let folder = tempfile::tempdir().unwrap();
    let mut session = session(&server, &["strong", "weak", "weaker"], Mode::Pair, 0);
    session.questions = session.questions.first(10).first_turns();
    let store = folder.path().join("replies.jsonl");
    let forecast = session.forecast(&RequestStore::open(&store).unwrap()).unwrap();
    let judged = run(&session, &store).unwrap();
    // Three pairs, two orders, ten questions, as forecast.
    assert_eq!((judged.judgments.len(), forecast.judgments.new), (60, 60));
    let board =
        Scoreboard::new(&session.questions, Mode::Pair, &judged.judgments, None, Resampling::default());
    let total = |model: &str| {
        board.pairs.iter().find(|pair| pair.model == model && pair.opponent.is_none()).unwrap().clone()
    };
    let strong = total("strong");
    assert_eq!((strong.wins, strong.ties, strong.losses, strong.inconsistent), (20, 0, 0, 0));
    let weak = total("weak");
    assert_eq!((weak.wins, weak.ties, weak.losses, weak.inconsistent), (0, 10, 10, 10));
    assert_eq!(weak.adjusted_win_rate.unwrap().value, 0.25);
    assert_eq!(board.pairs[0].model, "strong");
    assert_eq!(board.pairs.iter().filter(|pair| pair.opponent.is_some()).count(), 6);

    let battles = battles(&judged.judgments);
    let position = PositionEffect::new(&battles).unwrap();
    assert_eq!((position.overall.first, position.overall.second), (40, 20));
    assert_eq!((position.consistency.consistent, position.consistency.favours_first), (20, 10));
    let ratings = BradleyTerry::default().fit(&PairCounts::new(&battles).unwrap()).unwrap();
    let of = |model: &str| ratings.ratings[battles.model(model).unwrap() as usize];
    assert!(of("strong") > of("weak") + 400.0);
}

#[test]
fn a_reply_without_a_verdict_is_an_error_row_with_its_text() {
    let server = Server::start(|asked| {
        let says_nothing = asked.last().contains("=== Second question");
        match (is_judge(asked), says_nothing) {
            (true, true) => Answer::Text("I would rather not say.".to_owned()),
            (true, false) => Answer::Text("Grade: [8]".to_owned()),
            (false, _) => Answer::Text("An answer.".to_owned()),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let mut session = session(&server, &["vicuna"], Mode::Single, 0);
    session.questions = session.questions.first(5);
    let judged = run(&session, &folder.path().join("replies.jsonl")).unwrap();
    let (read, unread): (Vec<_>, Vec<_>) = judged.judgments.iter().partition(|row| row.verdict.is_some());
    assert_eq!((read.len(), unread.len()), (5, 5));
    assert!(read.iter().all(|row| row.turn == 1 && row.verdict == Some(Verdict::Rating(8.0))));
    assert!(unread.iter().all(|row| row.text == "I would rather not say." && row.request.is_some()));
    let board =
        Scoreboard::new(&session.questions, Mode::Single, &judged.judgments, None, Resampling::default());
    assert_eq!((board.errors.len(), board.scores[0].errors), (5, 5));
    assert_eq!(board.scores[0].overall.unwrap().value, 8.0);
    assert!(board.markdown().contains("no verdict: expected a grade such as [[7]]"), "{}", board.markdown());
}

#[test]
fn an_answer_that_failed_is_not_judged_and_says_why() {
    let server = Server::start(|asked| {
        if is_judge(asked) {
            return Answer::Text("Grade: [[6]]".to_owned());
        }
        // Second turns cannot be answered.
        if asked.body["messages"].as_array().unwrap().len() > 1 {
            Answer::Status(400, Vec::new(), "too long".to_owned())
        } else {
            Answer::Text("An answer.".to_owned())
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let mut session = session(&server, &["vicuna"], Mode::Single, 0);
    session.questions = session.questions.first(3);
    let judged = run(&session, &folder.path().join("replies.jsonl")).unwrap();
    assert_eq!((judged.tally.answered, judged.tally.failed), (6, 3));
    let missing: Vec<_> = judged.judgments.iter().filter(|row| row.turn == 2).collect();
    assert_eq!(missing.len(), 3);
    for row in missing {
        let error = row.error.as_deref().unwrap();
        assert!(error.contains("no answer of vicuna: turn 2") && error.contains("too long"), "{error}");
        assert!(row.request.is_none());
    }
    let paths = judged.write_answers(&folder.path().join("answers")).unwrap();
    let written = Answers::read(&paths[0]).unwrap();
    assert_eq!(written, judged.answers[0]);
    assert_eq!(written.all()[0].sampled.as_ref().unwrap().temperature, 0.7);
}

#[test]
fn a_model_without_any_verdict_and_answers_to_other_questions_are_told() {
    let server = Server::start(|asked| match (is_judge(asked), asked.body["model"] == "mute") {
        (true, _) => Answer::Text("Grade: [[6]]".to_owned()),
        (false, true) => Answer::Status(400, Vec::new(), "too long".to_owned()),
        (false, false) => Answer::Text("An answer.".to_owned()),
    });
    let folder = tempfile::tempdir().unwrap();
    let mut one = session(&server, &["vicuna"], Mode::Single, 0);
    one.questions = one.questions.first(3);
    let judged = run(&one, &folder.path().join("one.jsonl")).unwrap();
    assert_eq!(judged.shortcoming(), None);
    assert!(one.notes().is_empty());

    let mut two = session(&server, &["mute"], Mode::Single, 0);
    two.questions = two.questions.first(2);
    two.given = judged.answers;
    assert_eq!(
        two.notes(),
        ["vicuna: 1 of 3 answers are to questions that are not among those judged; they do not count"]
    );
    let said = run(&two, &folder.path().join("two.jsonl")).unwrap().shortcoming().unwrap();
    assert!(
        said.starts_with("not one verdict came on mute: no answer of mute") && said.contains("too long"),
        "{said}"
    );
}

#[test]
fn a_raised_flag_ends_the_run_and_keeps_what_came() {
    let server = Server::start(|_| Answer::Text("Grade: [[6]]".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replies.jsonl");
    let session = session(&server, &["vicuna"], Mode::Single, 0);
    let store = RequestStore::open(&path).unwrap();
    let stop = AtomicBool::new(false);
    let mut seen = 0;
    let error = session
        .run(&store, &stop, &mut |_, progress| {
            seen = progress.answered;
            stop.store(progress.answered >= 10, Ordering::SeqCst);
        })
        .unwrap_err();
    assert!(matches!(error, JudgeError::Run(RunError::Interrupted { .. })), "{error}");
    drop(store);
    assert!(RequestStore::open(&path).unwrap().report().replies >= seen.min(10));
    assert!(server.counts().answered_in_all() < 80);
}

#[test]
fn what_a_judge_cannot_judge_is_said_before_it_is_asked() {
    let server = Server::start(|_| Answer::Text("Grade: [[6]]".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let store = RequestStore::open(&folder.path().join("replies.jsonl")).unwrap();
    let fails = |change: &dyn Fn(&mut Session), mode: Mode, expected: &str| {
        let mut session = session(&server, &["vicuna"], mode, 0);
        change(&mut session);
        let error = session.forecast(&store).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    fails(&|_| {}, Mode::Pair, "one model only");
    fails(&|s| s.models.clear(), Mode::Single, "no model");
    fails(&|s| s.models.push(s.models[0].clone()), Mode::Single, "two models are called `vicuna`");
    let another = |s: &mut Session| {
        s.models.push(model(&server, "alpaca", 0));
        s.opponents = Opponents::Baseline("gpt-4".to_owned());
    };
    fails(&another, Mode::Pair, "no model is called `gpt-4`; models: vicuna, alpaca");
    let unreferenced = |s: &mut Session| {
        s.references = None;
        s.questions.questions.iter_mut().for_each(|question| question.reference.clear());
    };
    fails(&unreferenced, Mode::Single, "no reference answer to turn 1");
    assert_eq!(server.counts().asked_in_all(), 0);
}
