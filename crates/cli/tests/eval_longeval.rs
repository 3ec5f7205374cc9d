//! `camelid eval longeval` from arguments to results.

mod camelid;

use std::fs;

use camelid::{entries, error_of, output_of, save_nano_model, text};
use camelid_tests::chat_server::{Answer, Server};
use serde_json::Value;

fn scores(args: &[&str]) -> Value {
    serde_json::from_str(&output_of(&[&["eval", "longeval"], args, &["--json"]].concat())).unwrap()
}

#[test]
fn published_predictions_are_scored_and_drawn() {
    let Some(oracles) = camelid_tests::oracles() else { return };
    let folder = oracles.join("longeval");
    let one = folder.join("lines/predictions/longchat-13b-16k/200_response.txt");
    let found = scores(&["score", text(&one)]);
    assert_eq!((&found["files"][0]["accuracy"], &found["files"][0]["correct"]), (&0.96.into(), &48.into()));
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let table = output_of(&["eval", "longeval", "score", text(&folder), "--html", text(&page)]);
    for part in ["chatglm2-6b", "16 of 50", "7 of 50", "43 of 50", "0.21 – 0.46"] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
    assert_eq!(fs::read_to_string(page).unwrap().matches("<svg").count(), 2);
}

#[test]
fn a_model_in_files_is_asked_beyond_its_context_and_with_a_longer_one() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    save_nano_model(&at("model"), 64);
    let (model, tests, out) = (at("model"), at("tests"), at("out"));
    output_of(&["eval", "longeval", "generate", "--lengths", "2,3", "--count", "2", "--out", text(&tests)]);
    assert_eq!(entries(&tests), ["2_lines.jsonl", "3_lines.jsonl"]);
    let run = ["run", "--model", text(&model), "--cases", text(&tests), "--max-new-tokens", "2"];
    let run = [&run[..], &["--out", text(&out)]].concat();
    let found = scores(&run);
    assert_eq!(found["files"].as_array().unwrap().len(), 2);
    assert!(found["files"][0]["prompt_tokens"].as_f64().unwrap() > 64.0, "{found}");
    assert!(found["notes"][1].as_str().unwrap().contains("a context of 64 tokens"), "{found}");
    assert!(out.join("lines/predictions/model/2_response.txt").is_file());
    let found = scores(&[&run[..], &["--rope-factor", "4"]].concat());
    assert!(found["notes"][1].as_str().unwrap().contains("a context of 256 tokens"), "{found}");
    let replies = fs::read_to_string(out.join("replies.jsonl")).unwrap();
    assert_eq!(replies.lines().count(), 8, "another factor is another model");
}

#[test]
fn an_endpoint_is_asked_like_a_model() {
    let server = Server::start(|asked| {
        let record = asked.last();
        let name = record.rsplit_once("in line ").unwrap().1.split('?').next().unwrap().to_owned();
        Answer::Text(record.lines().find(|line| line.contains(&format!("line {name}:"))).unwrap().to_owned())
    });
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (format!("{}#finder", server.base_url()), dir.path().join("out"));
    let made_up = ["--lengths", "5", "--count", "3", "--out", text(&out)];
    let found = scores(&[&["run", "--model", &model], &made_up[..]].concat());
    assert_eq!(
        (&found["files"][0]["model"], &found["files"][0]["accuracy"]),
        (&"finder".into(), &1.0.into())
    );
    let refused =
        [&["eval", "longeval", "run", "--model", &model, "--rope-factor", "2"], &made_up[..]].concat();
    assert!(error_of(&refused).contains("an endpoint has its own"));
}

#[test]
fn what_is_no_test_and_no_prediction_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("200_response.txt");
    fs::write(&file, "Label: 3, Predict: 3, Parsed: 3\n").unwrap();
    let said = error_of(&["eval", "longeval", "score", text(&file)]);
    assert!(said.contains("200_response.txt, line 1: no `, prompt length: `"), "{said}");
    let said = error_of(&["eval", "longeval", "run", "--model", "m", "--cases", text(dir.path())]);
    assert!(said.contains("no file named *_lines.jsonl or *_topics.jsonl"), "{said}");
    let cases = dir.path().join("x_lines.jsonl");
    fs::write(&cases, "{\"prompt\": \"p\", \"expected_number\": -1}\n").unwrap();
    let said = error_of(&["eval", "longeval", "run", "--model", "m", "--cases", text(&cases)]);
    assert!(said.contains("line 1: `expected_number` is no whole number from 0"), "{said}");
}
