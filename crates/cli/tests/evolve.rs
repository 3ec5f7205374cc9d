//! `camelid evolve` and `camelid data decontaminate` as a user runs them.

mod camelid;

use std::path::Path;

use camelid::{error_of, output_of, text};
use camelid_tests::chat_server::{Answer, Server};
use serde_json::{Value, json};

/// Makes each task longer by a word, finds every pair different, and answers at length.
fn server() -> Server {
    Server::start(|asked| {
        let prompt = asked.last();
        let reply = if prompt.starts_with("Compare") {
            "Not Equal".to_owned()
        } else if let Some((_, task)) = prompt.split_once("Given task:\n") {
            format!("{} Twice.", task.lines().next().unwrap_or_default())
        } else {
            format!("An answer to {prompt}")
        };
        Answer::Text(reply)
    })
}

fn settings(folder: &Path, server: &Server, more: &str) -> String {
    let seeds: Vec<Value> = (0..3)
        .map(|at| json!({"instruction": format!("Name {at} rivers."), "input": "", "output": "Rhine"}))
        .collect();
    std::fs::write(folder.join("seeds.json"), serde_json::to_string(&seeds).unwrap()).unwrap();
    let path = folder.join("evolve.toml");
    let model = format!("{}#served", server.base_url());
    std::fs::write(&path, format!("seeds = \"seeds.json\"\nevolver = {{ model = \"{model}\" }}\n{more}"))
        .unwrap();
    text(&path).to_owned()
}

#[test]
fn seeds_are_evolved_reported_and_exported() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let (run, page, out) = (at("run"), at("page.html"), at("out.json"));
    let config = settings(folder.path(), &server, "evolution = { rounds = 2 }\n");
    let table = output_of(&["evolve", "run", &config, "--run", &run]);
    assert!(table.contains("3 seeds, 9 rows that live"), "{table}");
    let asked = server.counts().asked_in_all();
    assert_eq!(output_of(&["evolve", "run", &config, "--run", &run]), table);
    assert_eq!(server.counts().asked_in_all(), asked, "nothing is asked twice");

    let report = output_of(&["evolve", "report", &run, "--json", "--html", &page]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["seeds"], &report["rounds"]["2"]["lives"]), (&json!(3), &json!(3)));
    assert!(std::fs::read_to_string(&page).unwrap().contains("Name 0 rivers. Twice. Twice."));

    output_of(&["evolve", "export", &run, "--mix", "last", "--out", &out]);
    let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["instruction"].as_str().unwrap().ends_with("Twice. Twice.")));

    // A run knows its settings.
    settings(folder.path(), &server, "evolution = { rounds = 2, seed = 5 }\n");
    let error = error_of(&["evolve", "run", &config, "--run", &run]);
    assert!(error.contains("made with other evolution"), "{error}");
}

#[test]
fn a_run_ends_what_shares_text_with_test_sets_and_lists_the_items() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let question =
        "A train leaves at noon with 40 people and 12 of them get off at the first stop. How many stay?";
    // The evolver knows the test: it makes the item out of the second seed in round 2.
    let server = Server::start(move |asked| {
        let prompt = asked.last();
        let reply = match prompt.split_once("Given task:\n") {
            Some((_, task)) if task.starts_with("Name 1 rivers. Twice.") => question.to_uppercase(),
            Some((_, task)) => format!("{} Twice.", task.lines().next().unwrap_or_default()),
            None if prompt.starts_with("Compare") => "Not Equal".to_owned(),
            None => format!("An answer to {prompt}"),
        };
        Answer::Text(reply)
    });
    let run = at("run");
    let config = settings(
        folder.path(),
        &server,
        "evolution = { rounds = 2 }\n[[against]]\nset = \"own\"\nfile = \"test.jsonl\"\n",
    );
    let error = error_of(&["evolve", "run", &config, "--run", &run]);
    assert!(error.contains("against.file") && error.contains("test.jsonl"), "{error}");
    std::fs::write(at("test.jsonl"), json!({"question": question, "id": "t7"}).to_string() + "\n").unwrap();
    let table = output_of(&["evolve", "run", &config, "--run", &run]);
    assert!(table.contains("contaminated") && table.contains("own"), "{table}");
    let report: Value = serde_json::from_str(&output_of(&["evolve", "report", &run, "--json"])).unwrap();
    assert_eq!(report["found_items"][0]["row"], "1.2.1");
    assert_eq!(
        (&report["found_items"][0]["set"], &report["found_items"][0]["id"]),
        (&json!("own"), &json!("t7"))
    );
    // Another test set is another run.
    std::fs::write(at("test.jsonl"), json!({"question": "What is a river made of, and why?"}).to_string())
        .unwrap();
    let error = error_of(&["evolve", "run", &config, "--run", &run]);
    assert!(error.contains("made with other against"), "{error}");
}

#[test]
fn what_cannot_be_evolved_is_named() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let run = text(&folder.path().join("run")).to_owned();
    let error = |more: &str| {
        let config = settings(folder.path(), &server, more);
        error_of(&["evolve", "run", &config, "--run", &run])
    };
    for (more, said) in [
        ("rouns = 3\n", "rouns"),
        ("prompts = \"nowhere.toml\"\n", "nowhere.toml"),
        ("weights = { depening = 2.0 }\n", "weights.depening"),
        ("spending_limit = 5.0\n", "prices"),
        ("[[against]]\nset = \"nowhere\"\n", "against.set = \"nowhere\""),
        ("[[against]]\n", "neither a `set` nor a `file`"),
        ("contamination = { ngram = 2 }\n", "`ngram`"),
    ] {
        let error = error(more);
        assert!(error.contains(said), "{more}: {error}");
    }
    let config = settings(folder.path(), &server, "");
    for empty in ["", "[]", "[{\"instruction\": \" \", \"output\": \"\"}]"] {
        std::fs::write(folder.path().join("seeds.json"), empty).unwrap();
        let error = error_of(&["evolve", "run", &config, "--run", &run]);
        assert!(error.contains("seeds.json"), "{error}");
    }
    assert!(error_of(&["evolve", "report", &run]).contains(&run));
    let long = json!([{"instruction": "x ".repeat(50_000), "output": "yes"}]).to_string();
    std::fs::write(folder.path().join("seeds.json"), long).unwrap();
    let error = error_of(&["evolve", "run", &config, "--run", &run]);
    assert!(error.contains("1 by too_long"), "{error}");
}

#[test]
fn rows_with_test_items_are_taken_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let (rows, test, out, hits) = (at("rows.json"), at("test.jsonl"), at("out.json"), at("hits.jsonl"));
    let question =
        "A train leaves at noon with 40 people and 12 of them get off at the first stop. How many stay?";
    let row = |instruction: &str| json!({"instruction": instruction, "input": "", "output": "28"});
    let all = [row("Name a river of Europe."), row(&format!("Solve: {}", question.to_uppercase()))];
    std::fs::write(&rows, serde_json::to_string(&all).unwrap()).unwrap();
    std::fs::write(&test, json!({"question": question, "id": "t7"}).to_string() + "\n").unwrap();
    let options = ["data", "decontaminate", &rows, "--against", &test, "--out", &out];
    let counts = output_of(&[&options[..], &["--json", "--hits", &hits]].concat());
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert_eq!((&counts["contaminated"], &counts["by_set"]["test"]), (&json!(1), &json!(1)));
    assert_eq!(counts["hits"][0]["id"], "t7");
    let kept: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert_eq!(kept.len(), 1);
    assert!(std::fs::read_to_string(&hits).unwrap().contains("\"t7\""));

    std::fs::write(&test, "{\"colour\": \"red\"}\n").unwrap();
    let error = error_of(&options);
    assert!(error.contains("test.jsonl") && error.contains("question"), "{error}");
    let error =
        error_of(&["data", "decontaminate", &rows, "--against", "nowhere", "--offline", "--out", &out]);
    assert!(error.contains("--against nowhere"), "{error}");
}
