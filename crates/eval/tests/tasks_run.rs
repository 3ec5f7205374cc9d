//! Whole runs of small tasks: prompts, scores, samples, results on disk, going on, bad input.

mod scripted;

use std::fs;
use std::path::Path;

use camelid_eval::tasks::{DataPlaces, ProgramOptions, RunOptions, Task, TaskError, TaskRun, read};
use camelid_sandbox::{Isolation, Limits, Sandbox};
use scripted::{first_wins, run_options, scripted};

const CHOICE: &str = r#"
    name = "colours"
    version = 3
    about = "which colour"
    [data]
    files = [{ pattern = "colours/test.jsonl" }]
    fields = ["thing", "colours", "right"]
    id = "{{ row }}"
    group = "{{ kind }}"
    [prompt]
    preamble = "About {{ kind }}.\n"
    question = "{{ thing }} is"
    separator = "; "
    [shots]
    count = 0
    files = [{ pattern = "colours/dev.jsonl" }]
    same_group = true
    [multiple_choice]
    choices = "colours"
    gold = "position(colours, right)"
    continuation = " {{ choice }} ({{ letter }}{{ index }})"
    normalised = true
"#;

const NUMBER: &str = r#"
    name = "sums"
    version = 1
    about = "sums"
    [data]
    files = [{ pattern = "sums.jsonl" }]
    fields = ["sum", "result"]
    id = "{{ sum }}"
    [prompt]
    question = "{{ sum }} ="
    [number]
    gold = "{{ result }}"
    marker = '####'
    max_new_tokens = 9
    stop = ["\n\n"]
"#;

/// Two kinds, six things; the right colour of a thing is given.
fn colours(dir: &Path) -> DataPlaces {
    let row = |kind: &str, thing: &str, right: &str| {
        serde_json::json!({"kind": kind, "thing": thing, "colours": ["red", "bluish"], "right": right})
            .to_string()
            + "\n"
    };
    let test = [
        row("fruit", "plum", "bluish"),
        row("sea", "wave", "bluish"),
        row("fruit", "apple", "red"),
        row("sea", "sky", "bluish"),
        row("fruit", "cherry", "red"),
        row("fruit", "grape", "red"),
    ];
    let dev = [row("sea", "crab", "red"), row("fruit", "tomato", "red"), row("sea", "whale", "bluish")];
    fs::create_dir_all(dir.join("colours")).unwrap();
    fs::write(dir.join("colours/test.jsonl"), test.concat()).unwrap();
    fs::write(dir.join("colours/dev.jsonl"), dev.concat()).unwrap();
    DataPlaces::open(&[dir.to_path_buf()]).unwrap()
}

fn sums(dir: &Path, lines: &str) -> DataPlaces {
    fs::write(dir.join("sums.jsonl"), lines).unwrap();
    DataPlaces::open(&[dir.to_path_buf()]).unwrap()
}

fn score(run: &TaskRun, measure: &str) -> (f64, usize) {
    let score = run.report.scores.iter().find(|s| s.measure == measure);
    let score = score.unwrap_or_else(|| panic!("no {measure} in {:?}", run.report.scores));
    (score.value, score.n)
}

fn quiet(_: usize, _: usize) {}

#[test]
fn choices_are_scored_by_likelihood_and_by_likelihood_per_character() {
    let dir = tempfile::tempdir().unwrap();
    let places = colours(dir.path());
    let task = Task::from_toml(CHOICE, "colours.toml").unwrap();
    // red −1, bluish −1.5: red wins; per character (3 and 6) bluish does.
    let mut model = scripted(|_, index, _| [-1.0, -1.5][index], |_| Ok(String::new()));
    let run = task.run(&mut model, &places, &run_options(), &mut quiet).unwrap();
    assert_eq!(score(&run, "accuracy"), (0.5, 6));
    assert_eq!(score(&run, "accuracy_norm"), (0.5, 6));
    // Fruit 3 of 4, sea 0 of 2.
    assert_eq!(score(&run, "accuracy (mean of groups)"), (0.375, 2));
    assert_eq!(score(&run, "gold_log_likelihood"), (-1.25, 6));
    assert_eq!(run.report.groups[0].group, "fruit");
    assert_eq!((run.report.groups[0].value, run.report.groups[0].n), (0.75, 4));
    assert_eq!((run.report.version, run.report.shots, run.report.seed), (3, 0, None));
    let record = run.records.iter().find(|r| r.id == "0").unwrap();
    assert_eq!(record.prompt, "About fruit.\nplum is");
    assert_eq!(record.choices, [" red (A0)", " bluish (B1)"]);
    assert_eq!((record.gold.as_deref(), record.prediction.as_deref()), (Some("1"), Some("0")));
    assert_eq!(record.measure("accuracy"), Some(0.0));
    assert_eq!(record.measure("accuracy_norm"), Some(1.0));
}

#[test]
fn shots_come_from_the_questions_group_and_groups_stay_together() {
    let dir = tempfile::tempdir().unwrap();
    let places = colours(dir.path());
    let task = Task::from_toml(CHOICE, "colours.toml").unwrap();
    let options = RunOptions { shots: Some(1), ..run_options() };
    let mut model = first_wins();
    let run = task.run(&mut model, &places, &options, &mut quiet).unwrap();
    assert_eq!(run.report.shots, 1);
    assert_eq!(model.prompts[0], "About fruit.\ntomato is red (A0); plum is");
    assert_eq!(model.prompts[5], "About sea.\ncrab is red (A0); sky is");
    assert!(model.prompts[..4].iter().all(|p| p.starts_with("About fruit")));
    let options = RunOptions { shots: Some(2), ..run_options() };
    let error = task.run(&mut first_wins(), &places, &options, &mut quiet).unwrap_err().to_string();
    assert!(error.contains("2 shots were asked for, its files hold 1 of group `fruit`"), "{error}");
}

#[test]
fn numbers_are_compared_as_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "{\"sum\": \"600+600\", \"result\": \"#### 1,200\"}\n{\"sum\": \"1+1\", \"result\": \"2\"}\n\
                 {\"sum\": \"3+3\", \"result\": \"6\"}\n";
    let places = sums(dir.path(), lines);
    let task = Task::from_toml(NUMBER, "sums.toml").unwrap();
    let mut model = scripted(
        |_, _, _| 0.0,
        |prompt: &str| {
            Ok(match prompt {
                "600+600 =" => "so\n#### $1200.00".into(),
                "1+1 =" => "that is 2 then 3".into(),
                _ => "no idea".into(),
            })
        },
    );
    let run = task.run(&mut model, &places, &run_options(), &mut quiet).unwrap();
    let (accuracy, n) = score(&run, "accuracy");
    assert!((accuracy - 1.0 / 3.0).abs() < 1e-12 && n == 3);
    let predictions: Vec<_> = run.records.iter().map(|r| r.prediction.as_deref()).collect();
    assert_eq!(predictions, [Some("1200"), Some("3"), None]);
    assert_eq!(score(&run, "marked").0, 1.0 / 3.0);
    assert_eq!((model.options[0].max_new_tokens, &model.options[0].stop[..]), (9, &["\n\n".to_owned()][..]));
    assert_eq!(run.report.settings, ["greedy, at most 9 new tokens"]);
}

#[test]
fn perplexity_is_that_of_all_tokens() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("held_out.jsonl"), "{\"text\": \"twelve bytes\"}\n{\"text\": \"four\"}\n")
        .unwrap();
    let places = DataPlaces::open(&[dir.path().to_path_buf()]).unwrap();
    let task = Task::open("perplexity").unwrap();
    let run = task.run(&mut first_wins(), &places, &run_options(), &mut quiet).unwrap();
    // Two nats a token, a token a byte.
    assert_eq!(score(&run, "loss"), (2.0, 2));
    assert_eq!(score(&run, "perplexity").0, 2f64.exp());
    assert!((score(&run, "bits_per_byte").0 - 2.0 / 2f64.ln()).abs() < 1e-12);
    assert_eq!(run.report.settings, ["window 1024 tokens, stride 512"]);
    assert!(run.report.notes.is_empty());

    // A text without a token is no document; half a surrogate pair is mended and told.
    let lines = "{\"text\": \"twelve bytes\"}\n{\"text\": \"\"}\n{\"text\": \"\\ud83d\"}\n";
    fs::write(dir.path().join("held_out.jsonl"), lines).unwrap();
    let run = task.run(&mut first_wins(), &places, &run_options(), &mut quiet).unwrap();
    assert_eq!(score(&run, "loss"), (2.0, 2));
    let [mended, empty] = &run.report.notes[..] else { panic!("{:?}", run.report.notes) };
    assert!(
        mended.starts_with("rows with half of a surrogate pair, read as U+FFFD: 1; first")
            && mended.ends_with("row 3"),
        "{mended}"
    );
    assert_eq!(empty, "1 of 3 texts hold no token to score and do not count");
    fs::write(dir.path().join("held_out.jsonl"), "{\"text\": \"\"}\n").unwrap();
    let error = task.run(&mut first_wins(), &places, &run_options(), &mut quiet).unwrap_err().to_string();
    assert_eq!(error, "task perplexity: its texts hold no token to score");
}

#[test]
fn a_sample_is_that_of_its_seed_and_reported_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let places = colours(dir.path());
    let task = Task::from_toml(CHOICE, "colours.toml").unwrap();
    let ids = |limit, seed| -> Vec<String> {
        let options = RunOptions { limit: Some(limit), seed, ..run_options() };
        let run = task.run(&mut first_wins(), &places, &options, &mut quiet).unwrap();
        assert_eq!((run.report.examples, run.report.of, run.report.seed), (limit, 6, Some(seed)));
        run.records.into_iter().map(|r| r.id).collect()
    };
    assert_eq!(ids(3, 1), ids(3, 1));
    assert!((2..9).any(|seed| ids(3, seed) != ids(3, 1)));
    let options = RunOptions { limit: Some(0), ..run_options() };
    assert!(task.run(&mut first_wins(), &places, &options, &mut quiet).is_err());
}

#[test]
fn a_run_that_was_broken_off_goes_on_and_its_results_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String =
        (0..7).map(|i| format!("{{\"sum\": \"{i}+1\", \"result\": \"{}\"}}\n", i + 1)).collect();
    let places = sums(dir.path(), &lines);
    let task = Task::from_toml(NUMBER, "sums.toml").unwrap();
    let out = dir.path().join("out");
    let options = RunOptions { out: Some(out.clone()), ..run_options() };
    let mut asked = 0;
    let mut failing = scripted(
        |_, _, _| 0.0,
        |_: &str| {
            asked += 1;
            if asked <= 3 { Ok("1".into()) } else { Err("the machine went away".into()) }
        },
    );
    let error = task.run(&mut failing, &places, &options, &mut quiet).unwrap_err().to_string();
    assert!(error.contains("sums, example 3+1: the machine went away"), "{error}");
    assert!(!out.join("sums.parquet").exists() && !out.join("sums.json").exists());

    let mut model = scripted(|_, _, _| 0.0, |_: &str| Ok("#### 5".into()));
    let mut told = Vec::new();
    let run = task.run(&mut model, &places, &options, &mut |done, of| told.push((done, of))).unwrap();
    assert_eq!(model.prompts, ["3+1 =", "4+1 =", "5+1 =", "6+1 ="]);
    assert_eq!(told, [3, 4, 5, 6, 7].map(|done| (done, 7)), "three were there");
    // 0+1 by the first run, 4+1 by the second.
    assert_eq!(score(&run, "accuracy").0, 2.0 / 7.0);

    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(out.join("sums.json")).unwrap()).unwrap();
    assert_eq!(report["definition_sha256"], task.sha256.as_str());
    assert_eq!(report["scores"][0]["n"], 7);
    let written = DataPlaces::open(std::slice::from_ref(&out)).unwrap();
    let rows = read(&written.find("sums.parquet")[0], None).unwrap();
    assert_eq!(rows.len(), 7);
    assert_eq!(rows[4].fields["outputs"], serde_json::json!(["#### 5"]));
    assert_eq!(rows[4].fields["accuracy"], 1.0);

    // Other settings may not mix with these rows.
    let other = RunOptions {
        model: camelid_eval::tasks::ModelFacts { load: "nf4".into(), ..options.model.clone() },
        ..options
    };
    let error = task.run(&mut first_wins(), &places, &other, &mut quiet).unwrap_err();
    assert!(
        matches!(error, TaskError::OtherSettings { .. }) && error.to_string().contains("load nf4"),
        "{error}"
    );
}

#[test]
fn examples_are_asked_in_batches_and_one_at_fault_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String =
        (0..7).map(|i| format!("{{\"sum\": \"{i}+1\", \"result\": \"{}\"}}\n", i + 1)).collect();
    let places = sums(dir.path(), &lines);
    let task = Task::from_toml(NUMBER, "sums.toml").unwrap();
    let answer = |prompt: &str| format!("#### {}", prompt.len() - prompt.find('3').unwrap_or(1));
    let mut alone = scripted(|_, _, _| 0.0, |prompt: &str| Ok(answer(prompt)));
    let expected = task.run(&mut alone, &places, &run_options(), &mut quiet).unwrap();
    let mut model = scripted(|_, _, _| 0.0, |prompt: &str| Ok(answer(prompt)));
    model.batch = 3;
    let mut told = Vec::new();
    let found = task.run(&mut model, &places, &run_options(), &mut |done, _| told.push(done)).unwrap();
    assert_eq!((found.records, &model.calls[..]), (expected.records, &[3, 3, 1][..]));
    assert_eq!(told, [0, 1, 2, 3, 4, 5, 6, 7]);

    let options = RunOptions { out: Some(dir.path().join("out")), ..run_options() };
    let fails = |prompt: &str| if prompt == "4+1 =" { Err("no answer".into()) } else { Ok("1".into()) };
    let mut failing = scripted(|_, _, _| 0.0, fails);
    failing.batch = 3;
    let error = task.run(&mut failing, &places, &options, &mut quiet).unwrap_err().to_string();
    assert!(error.contains("sums, example 4+1: no answer"), "{error}");
    assert_eq!(failing.calls, [3, 3, 1, 1]);
    // The four before it were kept.
    model.prompts.clear();
    task.run(&mut model, &places, &options, &mut quiet).unwrap();
    assert_eq!(model.prompts, ["4+1 =", "5+1 =", "6+1 ="]);

    let places = colours(dir.path());
    let task = Task::from_toml(CHOICE, "colours.toml").unwrap();
    let likelihood =
        |context: &str, index, choice: &str| -((context.len() * (index + 2) + choice.len()) as f64);
    let records = |batch| {
        let mut model = scripted(likelihood, |_: &str| Ok(String::new()));
        model.batch = batch;
        let records = task.run(&mut model, &places, &run_options(), &mut quiet).unwrap().records;
        (records, model.calls)
    };
    let ((alone, one), (together, four)) = (records(1), records(4));
    assert_eq!((alone, one, four), (together, vec![2; 6], vec![8, 4]));
}

#[test]
fn programs_are_run_and_counted() {
    if let Err(refused) = Sandbox::new(Limits::default(), Isolation::Required) {
        println!("skipped: {refused}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let row = |id: u32, test: &str| {
        serde_json::json!({"task_id": format!("T/{id}"), "prompt": "def f():\n", "entry_point": "f",
            "test": format!("def check(f):\n    assert f() == {test}\n")})
        .to_string()
            + "\n"
    };
    fs::write(dir.path().join("HumanEval.jsonl"), row(1, "1") + &row(2, "9")).unwrap();
    let places = DataPlaces::open(&[dir.path().to_path_buf()]).unwrap();
    let task = Task::open("humaneval").unwrap();
    // Of four programs, by turns: right for the first problem, wrong, not Python.
    let mut turn = 0;
    let mut model = scripted(
        |_, _, _| 0.0,
        |_: &str| {
            turn += 1;
            Ok(["\n    return 1\n", "\n    return 2\n", "\n    return 1\n", "\n    return (\n"]
                [(turn - 1) % 4]
                .into())
        },
    );
    let programs =
        ProgramOptions { samples: 4, temperature: 0.8, k: vec![1, 2], ..ProgramOptions::default() };
    let options = RunOptions { programs, seed: 5, ..run_options() };
    let run = task.run(&mut model, &places, &options, &mut quiet).unwrap();
    // 2 of 4 pass: pass@2 = 1 − C(2, 2) / C(4, 2) = 5/6; the other problem has none.
    assert_eq!(score(&run, "pass@1"), (0.25, 2));
    assert!((score(&run, "pass@2").0 - 5.0 / 12.0).abs() < 1e-12);
    let outcomes = &run.records[0].outcomes;
    assert_eq!((&outcomes[0][..], &outcomes[1][..]), ("passed", "failed: AssertionError"));
    assert!(outcomes[3].contains("SyntaxError"), "{outcomes:?}");
    // A run that goes on measures what it is asked for now, over old and new problems alike.
    let kept = |k: &[u64], limit: Option<usize>| RunOptions {
        out: Some(dir.path().join("out")),
        limit,
        programs: ProgramOptions { k: k.to_vec(), ..options.programs.clone() },
        ..options.clone()
    };
    let mut right = scripted(|_, _, _| 0.0, |_: &str| Ok("    return 1\n".into()));
    task.run(&mut right, &places, &kept(&[1], Some(1)), &mut quiet).unwrap();
    let run = task.run(&mut right, &places, &kept(&[1, 2], None), &mut quiet).unwrap();
    assert_eq!((right.prompts.len(), score(&run, "pass@1"), score(&run, "pass@2")), (8, (0.5, 2), (0.5, 2)));
    let fewer = RunOptions {
        programs: ProgramOptions { samples: 2, ..options.programs.clone() },
        ..kept(&[1], None)
    };
    let error = task.run(&mut right, &places, &fewer, &mut quiet).unwrap_err().to_string();
    assert!(error.contains("programs 4 at temperature 0.8") && error.contains("now programs 2"), "{error}");
    // Each is drawn with a seed of its own.
    let seeds: Vec<u64> = model.options[..4].iter().map(|o| o.seed).collect();
    assert_eq!((seeds, model.options[0].temperature), (vec![5, 6, 7, 8], 0.8));

    let programs = ProgramOptions { k: vec![2], ..ProgramOptions::default() };
    let options = RunOptions { programs, ..run_options() };
    let error = task.run(&mut first_wins(), &places, &options, &mut quiet).unwrap_err().to_string();
    assert!(error.contains("pass@2 of 1 programs"), "{error}");
}

#[test]
fn bad_data_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let task = Task::from_toml(NUMBER, "sums.toml").unwrap();
    for (lines, expected) in [
        ("{\"sum\": \"1+1\"}\n", "sums.jsonl, row 1: no field `result`; there are: sum"),
        (
            "{\"sum\": \"1\", \"result\": \"1\"}\n{\"sum\": \"1\", \"result\": \"2\"}\n",
            "row 2: the id `1` comes twice",
        ),
        ("{\"sum\": \"1\", \"result\": \"none\"}\n", "`number.gold` holds no answer"),
        ("", "its files hold no rows"),
        ("{\"sum\": null, \"result\": \"1\"}\n", "row 1: task sums: `data.id`, line 1: null stands where"),
        ("{\"sum\": 1, ", "row 1: the JSON is cut off"),
    ] {
        let places = sums(dir.path(), lines);
        let error = task.run(&mut first_wins(), &places, &run_options(), &mut quiet).unwrap_err().to_string();
        assert!(error.contains(expected), "{lines}: {error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let places = DataPlaces::open(&[empty.path().to_path_buf()]).unwrap();
    let error = task.run(&mut first_wins(), &places, &run_options(), &mut quiet).unwrap_err().to_string();
    assert!(error.contains("task sums: no file matches sums.jsonl in"), "{error}");
    assert_eq!(task.lacking(&places, None), ["sums.jsonl"]);
    let gsm8k = Task::open("gsm8k").unwrap();
    assert_eq!(gsm8k.lacking(&places, None), ["gsm8k/test.jsonl", "gsm8k/train.jsonl"]);
    assert_eq!(gsm8k.lacking(&places, Some(0)), ["gsm8k/test.jsonl"]);
    let error = Task::open("gsm8k").unwrap();
    let error = error.run(&mut first_wins(), &DataPlaces::default(), &run_options(), &mut quiet);
    assert!(error.unwrap_err().to_string().contains("catalogue has it as gsm8k-test and gsm8k-train"));
}

#[test]
fn wrong_choices_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let places = colours(dir.path());
    for (from, to, expected) in [
        ("position(colours, right)", "7", "`multiple_choice.gold` is 7, expected an index below 2"),
        ("position(colours, right)", "position(colours, thing)", "is not in"),
        ("choices = \"colours\"", "choices = \"thing\"", "expected a list"),
        ("{{ thing }} is", "{{ object }} is", "prompt.question"),
    ] {
        let task = Task::from_toml(&CHOICE.replace(from, to), "colours.toml").unwrap();
        let error = task.run(&mut first_wins(), &places, &run_options(), &mut quiet).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("test.jsonl, row 1"), "{from} {to}: {error}");
    }
    let sums = sums(dir.path(), "{\"sum\": \"1\", \"result\": \"1\"}");
    let options = RunOptions { shots: Some(3), ..run_options() };
    let task = Task::from_toml(NUMBER, "sums.toml").unwrap();
    let error = task.run(&mut first_wins(), &sums, &options, &mut quiet).unwrap_err().to_string();
    assert!(error.contains("3 shots were asked for, it defines none"), "{error}");
}
