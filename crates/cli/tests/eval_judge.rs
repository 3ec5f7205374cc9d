//! `camelid eval judge` as a user runs it, against a real HTTP server.

mod camelid;

use std::path::Path;

use camelid::{error_of, output_of, save_nano_model, text};
use camelid_tests::chat_server::{Answer, Server};
use serde_json::Value;

const PROTOCOL: &str = "max_new_tokens = 8\ndefault_temperature = 0.0\nreference_categories = [\"math\"]\n\
                        [temperatures]\n[judge]\ntemperature = 0.0\nmax_new_tokens = 16\n";

/// Answers, and judges that grade with 7 or prefer what they see first.
fn server() -> Server {
    Server::start(|asked| {
        let reply = match (asked.body["model"] == "judge", asked.last().contains("assistant B")) {
            (false, _) => "It depends.",
            (true, false) => "Grade: [[7]]",
            (true, true) => "[[A]]",
        };
        Answer::Text(reply.to_owned())
    })
}

fn questions(folder: &Path) -> String {
    let mut lines = String::new();
    for (id, category) in [("one", "writing"), ("two", "writing"), ("three", "stem"), ("four", "coding")] {
        lines += &format!(
            "{{\"question_id\": \"{id}\", \"category\": \"{category}\", \"turns\": [\"What is {id}?\", \"Why?\"]}}\n"
        );
    }
    let path = folder.join("own.jsonl");
    std::fs::write(&path, lines).unwrap();
    text(&path).to_owned()
}

#[test]
fn answers_are_graded_once_and_reported_in_every_form() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let questions = questions(folder.path());
    let model = format!("vicuna={}#served", server.base_url());
    let judge = format!("{}#judge", server.base_url());
    let (run, page, rows) = (at("run"), at("report.html"), at("rows.parquet"));
    let options = ["eval", "judge", "--model", &model, "--judge", &judge, "--question-set", &questions];
    let options = [&options[..], &["--without-references", "--run", &run]].concat();
    assert!(output_of(&[&options[..], &["--dry-run"]].concat()).is_empty());
    assert_eq!(server.counts().asked_in_all(), 0);

    let table = output_of(&[&options[..], &["--html", &page, "--parquet", &rows]].concat());
    assert!(table.contains("| vicuna | 7.00 [7.00, 7.00] |"), "{table}");
    assert!(
        table.contains("judge: judge (judge-0613 (fp_test)), temperature 0, prompts camelid-single "),
        "{table}"
    );
    assert_eq!(server.counts().answered_in_all(), 16);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("without a verdict") && !page.contains("src=\"http"));
    assert!(std::fs::read(rows).unwrap().starts_with(b"PAR1"));

    let again: Value = serde_json::from_str(&output_of(&[&options[..], &["--json"]].concat())).unwrap();
    assert_eq!(again["scoreboard"]["scores"][0]["grades"], 8);
    assert_eq!(server.counts().answered_in_all(), 16, "a finished request was repeated");

    // The written answers against themselves under another name: every game a tie.
    let answers = std::fs::read_to_string(folder.path().join("run/answers/vicuna.jsonl")).unwrap();
    std::fs::write(at("alpaca.jsonl"), answers.replace("\"vicuna\"", "\"alpaca\"")).unwrap();
    let (one, other) = (at("run/answers/vicuna.jsonl"), at("alpaca.jsonl"));
    let pair = ["eval", "judge", "--answers", &one, "--answers", &other, "--mode", "pair", "--judge", &judge];
    let pair = [&pair[..], &["--question-set", &questions, "--without-references", "--run", &run]].concat();
    let table = output_of(&pair);
    assert!(table.contains("| vicuna | all | 0 | 8 (8) | 0 | 50.0 %"), "{table}");
    assert!(table.contains("the answer shown first scores 100.0 %"), "{table}");
    // The judgments are battles.
    let battles = at("battles.parquet");
    output_of(&[&pair[..], &["--parquet", &battles]].concat());
    let rated = output_of(&["eval", "ratings", &battles]);
    assert!(rated.contains("vicuna") && rated.contains("alpaca") && rated.contains("16"), "{rated}");
}

#[test]
fn a_local_model_answers_and_a_judge_that_says_nothing_of_use_is_reported() {
    let server = Server::start(|_| Answer::Text("I like it.".to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("tiny");
    std::fs::create_dir(&model).unwrap();
    save_nano_model(&model, 256);
    let config = std::fs::read_to_string(model.join("config.json")).unwrap();
    let config = config.replacen('{', "{\"attention_dropout\": 0.5,", 1);
    std::fs::write(model.join("config.json"), config).unwrap();
    let protocol = folder.path().join("protocol.toml");
    std::fs::write(&protocol, PROTOCOL).unwrap();
    let questions = questions(folder.path());
    let judge = format!("{}#judge", server.base_url());
    let run = folder.path().join("run");
    let ended = camelid::camelid(&[
        "eval",
        "judge",
        "--model",
        text(&model),
        "--judge",
        &judge,
        "--question-set",
        &questions,
        "--protocol",
        text(&protocol),
        "--first",
        "2",
        "--run",
        text(&run),
    ]);
    // Not one verdict is a failure, whatever was printed.
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        said.contains("error: not one verdict came of 4 judgments: no verdict: expected a grade"),
        "{said}"
    );
    // What of the model's files is not taken as it stands is said here too.
    assert!(
        said.contains("warning: tiny: ") && said.contains("`attention_dropout` is 0.5: ignored"),
        "{said}"
    );
    let output = String::from_utf8(ended.stdout).unwrap();
    assert!(output.contains("4 judgments, 4 without a verdict"), "{output}");
    assert!(
        output.contains("no verdict on question one, turn 1, tiny and 3 more: no verdict: expected a grade"),
        "{output}"
    );
    let answers = std::fs::read_to_string(run.join("answers/tiny.jsonl")).unwrap();
    let first: Value = serde_json::from_str(answers.lines().next().unwrap()).unwrap();
    assert_eq!(first["choices"][0]["turns"].as_array().unwrap().len(), 2);
    assert!(first["sampled"]["model_version"].is_string());
}

#[test]
fn what_cannot_be_judged_is_said() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let questions = questions(folder.path());
    let run = text(&folder.path().join("run")).to_owned();
    let model = format!("vicuna={}#served", server.base_url());
    let judge = format!("{}#judge", server.base_url());
    let base = ["eval", "judge", "--judge", &judge, "--question-set", &questions, "--run", &run];
    for (options, expected) in [
        (vec![], "name a --model to be asked"),
        (vec!["--model", &model], "no reference answer to turn 1"),
        (vec!["--model", &model, "--without-references", "--mode", "pair"], "one model only"),
        (
            vec!["--model", &model, "--without-references", "--spending-limit", "1"],
            "expected prices of every endpoint",
        ),
        (vec!["--model", "no/such/model"], "no/such/model"),
        (vec!["--model", "http://localhost:1/v1"], "expected URL#MODEL"),
        (vec!["--model", &model, "--price", "1"], "expected IN,OUT"),
        (vec!["--model", &model, "--prompts", "none.jsonl"], "none.jsonl"),
    ] {
        let error = error_of(&[&base[..], &options].concat());
        assert!(error.contains(expected), "{options:?}: {error}");
    }
    assert_eq!(server.counts().asked_in_all(), 0);
}

/// Answers of one model to the questions of [`questions`].
fn answers(folder: &Path, model: &str) -> String {
    let mut lines = String::new();
    for id in ["one", "two", "three", "four"] {
        lines += &format!(
            "{{\"question_id\": \"{id}\", \"model_id\": \"{model}\", \"choices\": [{{\"index\": 0, \"turns\": [\"{model}\", \"so\"]}}]}}\n"
        );
    }
    let path = folder.join(format!("{model}.jsonl"));
    std::fs::write(&path, lines).unwrap();
    text(&path).to_owned()
}

#[test]
fn a_server_that_cannot_serve_is_given_up_after_a_few_requests() {
    let folder = tempfile::tempdir().unwrap();
    let (questions, answers) = (questions(folder.path()), answers(folder.path(), "m1"));
    let said = |status: u16, body: &'static str, base: &dyn Fn(&Server) -> String| {
        let server = Server::start(move |_| Answer::Status(status, Vec::new(), body.to_owned()));
        let judge = format!("{}#judge", base(&server));
        let run = folder.path().join(format!("run{}", body.len()));
        let options =
            ["eval", "judge", "--question-set", &questions, "--answers", &answers, "--judge", &judge];
        let options =
            [&options[..], &["--without-references", "--concurrency", "1", "--run", text(&run)]].concat();
        let said = error_of(&options);
        assert_eq!(server.counts().asked_in_all(), 3, "{said}");
        assert!(said.contains("not one verdict came of 8 judgments"), "{said}");
        said
    };
    let plain = |server: &Server| server.base_url();
    assert!(
        said(401, r#"{"error": {"message": "Incorrect API key"}}"#, &plain).contains("Incorrect API key")
    );
    assert!(said(404, r#"{"error": {"message": "no model judge"}}"#, &plain).contains("no model judge"));
    assert!(said(429, r#"{"error": {"code": "insufficient_quota"}}"#, &plain).contains("insufficient_quota"));
    assert!(said(403, "<html>Sign in</html>", &plain).contains("web page"));
    // A base URL that ends too early.
    let root = |server: &Server| server.base_url().trim_end_matches("/v1").to_owned();
    let lost = said(404, r#"{"detail": "Not Found"}"#, &root);
    assert!(lost.contains("is `/v1` missing at the end of the base URL?"), "{lost}");
}

#[test]
fn the_last_verdict_counts_and_not_one_that_was_only_thought() {
    let server = Server::start(|asked| {
        Answer::Text(match asked.last().contains("assistant B") {
            true => "<think>At first sight [[A]], but no.</think>\nThe second. [[B]]".to_owned(),
            false => "<think>One could say [[2]], but no.</think>\nRating: [[9]]".to_owned(),
        })
    });
    let folder = tempfile::tempdir().unwrap();
    let questions = questions(folder.path());
    let (one, other) = (answers(folder.path(), "m1"), answers(folder.path(), "m2"));
    let (judge, run) = (format!("{}#judge", server.base_url()), folder.path().join("run"));
    let base = ["eval", "judge", "--question-set", &questions, "--answers", &one, "--judge", &judge];
    let base = [&base[..], &["--without-references", "--json", "--run", text(&run)]].concat();
    let graded: Value = serde_json::from_str(&output_of(&base)).unwrap();
    assert_eq!(graded["scoreboard"]["scores"][0]["overall"]["value"], 9.0);
    let pair: Value =
        serde_json::from_str(&output_of(&[&base[..], &["--answers", &other, "--mode", "pair"]].concat()))
            .unwrap();
    assert_eq!(pair["scoreboard"]["position"]["overall"]["second"], 16);
}

#[test]
fn a_judge_that_thinks_is_asked_as_it_wants_to_be() {
    let server = Server::start(|asked| {
        let body = &asked.body;
        let right = body["max_completion_tokens"] == 77
            && body["reasoning_effort"] == "low"
            && body["temperature"] == 1.0
            && body.get("max_tokens").is_none();
        if right { Answer::Text("[[7]]".into()) } else { Answer::Status(400, Vec::new(), body.to_string()) }
    });
    let folder = tempfile::tempdir().unwrap();
    let (questions, answers) = (questions(folder.path()), answers(folder.path(), "m1"));
    let (judge, run) = (format!("{}#judge", server.base_url()), folder.path().join("run"));
    let base = ["eval", "judge", "--question-set", &questions, "--answers", &answers, "--judge", &judge];
    let base =
        [&base[..], &["--without-references", "--run", text(&run), "--judge-temperature", "1"]].concat();
    let options = ["--judge-max-tokens", "77", "--length-field", "max_completion_tokens"];
    let body = ["--judge-body", r#"{"reasoning_effort": "low"}"#];
    let table = output_of(&[&base[..], &options, &body].concat());
    assert!(table.contains("| m1 | 7.00") && table.contains("temperature 1"), "{table}");
    let error = error_of(&[&base[..], &["--judge-body", r#"{"temperature": 0}"#]].concat());
    assert!(error.contains("`extra_body` is setting `temperature`"), "{error}");
}
