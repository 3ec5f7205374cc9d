//! `camelid evolve` and `camelid data decontaminate` as a user runs them.

mod camelid;

use std::path::Path;

use camelid::{camelid, error_of, output_of, text};
use camelid_tests::chat_server::{Answer, Server};
use camelid_tests::pages;
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
fn the_settings_that_the_book_shows_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let page = std::fs::read_to_string(camelid_tests::workspace().join("docs/evolve.md")).unwrap();
    let shown = pages::blocks(&page, &["toml"]);
    assert_eq!(shown.len(), 1);
    std::fs::write(at("evolve.toml"), shown[0].1).unwrap();
    let seed = json!([{"instruction": "Name three rivers.", "input": "", "output": "Rhine"}]);
    std::fs::write(at("seeds.json"), seed.to_string()).unwrap();
    std::fs::write(at("questions.jsonl"), json!({"question": "What is a river?"}).to_string()).unwrap();
    let (file, run) = (at("evolve.toml"), at("run"));
    let asked = camelid(&["evolve", "run", text(&file), "--run", text(&run), "--dry-run"]);
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.success() && said.contains("cost") && !run.exists(), "{said}");
}

#[test]
fn a_run_says_what_it_will_take_and_what_it_took() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let run = folder.path().join("run");
    let priced = |limit: &str| {
        let path = settings(folder.path(), &server, "");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace(" }\n", ", prices = { prompt = 1000.0, new = 2000.0 } }\n");
        std::fs::write(&path, format!("{limit}{text}evolution = {{ rounds = 2 }}\n")).unwrap();
        path
    };
    let said = |config: &str, more: &[&str]| {
        let output = camelid::camelid(&[&["evolve", "run", config, "--run", text(&run)], more].concat());
        (String::from_utf8(output.stderr).unwrap(), output.status.success())
    };
    let config = priced("");
    let (dry, _) = said(&config, &["--dry-run"]);
    assert!(dry.contains("forecast, if every row lives") && dry.contains("compare"), "{dry}");
    assert!(!run.exists() && server.counts().asked_in_all() == 0, "a dry run does nothing");

    // Six calls of each kind, of which the limit covers none whole.
    let (limited, ended_well) = said(&priced("spending_limit = 0.5\n"), &[]);
    assert!(limited.contains("warning: the forecast passes the spending limit"), "{limited}");
    assert!(!ended_well && limited.contains("spending limit"), "{limited}");

    let config = priced("");
    let (whole, ended_well) = said(&config, &[]);
    assert!(ended_well && !whole.contains("warning"), "{whole}");
    let report: Value =
        serde_json::from_str(&output_of(&["evolve", "report", text(&run), "--json"])).unwrap();
    let calls =
        |side: &Value| side.as_array().unwrap().iter().map(|of| of["calls"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((calls(&report["forecast"]["tasks"]), calls(&report["spent"])), (18, 18));
    let table = output_of(&["evolve", "report", text(&run)]);
    let last = table.lines().position(|line| line.starts_with("in all") && line.contains("forecast"));
    let was = last.and_then(|at| table.lines().nth(at + 1));
    assert!(was.is_some_and(|line| line.trim_start().starts_with("was") && line.contains("18")), "{table}");
    let (again, _) = said(&config, &[]);
    assert!(again.contains("18 replies are stored already, which cost"), "{again}");
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

#[test]
fn self_instruct_makes_tasks_after_seeds_with_instances() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let server = Server::start(|asked| {
        let verbs = ["Explain", "Sort", "Invent", "Measure", "Translate", "Praise", "Doubt"];
        let number = asked.body["seed"].as_u64().unwrap();
        let verb = verbs[number as usize % 7];
        let task =
            format!("{verb} these {number} things {verb}.\n4. Input:\nA, B\n4. Output:\nThey were done.\n");
        Answer::Text(task)
    });
    let seed = |name: &str| json!({"instruction": format!("{name} two rivers."), "instances": [{"input": "", "output": "Rhine"}]});
    let seeds = ["Name", "Draw", "Cross"].map(|name| seed(name).to_string()).join("\n");
    std::fs::write(at("seeds.jsonl"), seeds).unwrap();
    let model = format!("evolver = {{ model = \"{}#served\" }}\n", server.base_url());
    let head = format!("method = \"self-instruct\"\nseeds = \"seeds.jsonl\"\n{model}");
    let (config, run, out) = (at("settings.toml"), at("run"), at("out.json"));
    std::fs::write(&config, format!("{head}self_instruct = {{ instructions = 6, rouge_above = 0.9 }}\n"))
        .unwrap();
    let table = output_of(&["evolve", "run", &config, "--run", &run]);
    assert!(table.contains("instruct") && table.contains("3 seeds"), "{table}");
    let asked = server.counts().asked_in_all();
    assert_eq!(output_of(&["evolve", "run", &config, "--run", &run]), table);
    assert_eq!(server.counts().asked_in_all(), asked, "nothing is asked twice");
    output_of(&["evolve", "export", &run, "--mix", "1", "--out", &out]);
    let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert!(rows.len() >= 6 && rows[0]["instruction"].as_str().unwrap().ends_with(".\nA, B"), "{rows:?}");

    for (more, said) in [
        ("law = \"as-released\"\n", "`law` is no setting of this `method`"),
        ("self_instruct = { demonstrations = 4 }\n", "`demonstrations` is 4"),
        ("prompts = \"nowhere.txt\"\n", "nowhere.txt"),
    ] {
        std::fs::write(&config, format!("{head}{more}")).unwrap();
        let error = error_of(&["evolve", "run", &config, "--run", &at("other")]);
        assert!(error.contains(said), "{error}");
    }
    std::fs::write(&config, &head).unwrap();
    std::fs::write(at("seeds.jsonl"), "{\"instruction\": \"Name two rivers.\"}\n").unwrap();
    let error = error_of(&["evolve", "run", &config, "--run", &at("other")]);
    assert!(error.contains("seeds.jsonl") && error.contains("`output` is not there"), "{error}");
    std::fs::write(at("seeds.jsonl"), "").unwrap();
    assert!(error_of(&["evolve", "run", &config, "--run", &at("other")]).contains("seeds.jsonl"));
}

#[test]
fn a_method_is_tuned_and_then_evolved_by() {
    let folder = tempfile::tempdir().unwrap();
    // The first method fails always; the optimizer's, which asks for care, never.
    let server = Server::start(|asked| {
        let prompt = asked.last();
        let task = prompt.split_once("Given task:\n").map(|(_, task)| task.lines().next().unwrap());
        let reply = match task {
            Some(task) if prompt.contains("With care") => format!("{task} Say why."),
            Some(task) => task.to_owned(),
            None if prompt.starts_with("Compare") => "Not Equal".to_owned(),
            None if prompt.contains("between <method>") => {
                "<method>With care add a demand.</method>".to_owned()
            }
            None => "The Rhine, which is long.".to_owned(),
        };
        Answer::Text(reply)
    });
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let config = settings(folder.path(), &server, "auto = { candidates = 2, sample = 3 }\n");
    let table = output_of(&["evolve", "tune", &config, "--run", &at("method")]);
    assert!(table.contains("100.0 %") && table.contains("3 unchanged") && table.contains("stays"), "{table}");
    let asked = server.counts().asked_in_all();
    assert_eq!(output_of(&["evolve", "tune", &config, "--run", &at("method")]), table);
    assert_eq!(server.counts().asked_in_all(), asked, "nothing is asked twice");
    for version in ["0", "1.1", "1.2"] {
        assert!(folder.path().join(format!("method/versions/{version}.toml")).is_file(), "{version}");
    }
    let config =
        settings(folder.path(), &server, "prompts = \"method/method.toml\"\nevolution = { rounds = 1 }\n");
    let table = output_of(&["evolve", "run", &config, "--run", &at("run")]);
    assert!(table.contains("6 rows that live") && table.contains("method"), "{table}");
}
