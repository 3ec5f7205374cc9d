//! The MT-bench recipe as a user runs it, against a real HTTP server.

mod program;

use std::process::Stdio;

use camelid_tests::chat_server::{Answer, Server};
use program::{Recipe, said};
use serde_json::Value;

#[test]
fn a_recipe_whose_server_goes_away_is_finished_by_the_next_run() {
    // The published questions are among the golden files.
    let Some(mirror) = camelid_tests::oracles() else { return };
    // Every grade is 6; one question in ten gets no verdict.
    let mut server = Server::start(|asked| {
        let judges = asked.body["model"] == "judge";
        let silent = judges && asked.last().len() % 10 == 0;
        let reply = match (judges, silent) {
            (false, _) => format!("To {} characters I answer this.", asked.last().len()),
            (true, false) => "It is middling. Rating: [[6]]".to_owned(),
            (true, true) => "I cannot say.".to_owned(),
        };
        Answer::Text(reply)
    });
    let runs = tempfile::tempdir().unwrap();
    let recipe = || {
        let options = ["--offline", "--concurrency", "8", "--retries", "0"];
        let mut command = Recipe("mt-bench").command(runs.path(), &options);
        command.env("CAMELID_MIRROR", &mirror);
        command.arg("--model").arg(format!("vicuna={}#vicuna", server.base_url()));
        command.arg("--judge").arg(format!("{}#judge", server.base_url()));
        command
    };
    let (mut first, mut second) = (recipe(), recipe());
    let running = first.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    server.wait_until(|counts| counts.answered_in_all() >= 200);
    server.stop();
    let broken = running.wait_with_output().unwrap();
    server.restart();
    let output = second.output().unwrap();
    assert!(output.status.success(), "{}\n{}", said(&broken), said(&output));
    let counts = server.counts();
    assert_eq!(counts.answered_in_all(), 320, "{}", said(&output));
    assert!(counts.answered.values().all(|times| *times == 1), "a finished request was repeated");

    let folder = runs.path().join("mt-bench");
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
    let board = &report["scoreboard"];
    assert_eq!((&board["questions"], &board["judgments"]), (&80.into(), &160.into()));
    let score = &board["scores"][0];
    assert_eq!((&score["model"], &score["overall"]["value"]), (&"vicuna".into(), &6.0.into()));
    let errors = board["errors"].as_array().unwrap();
    assert!(!errors.is_empty() && errors.iter().all(|error| error["text"] == "I cannot say."));
    assert_eq!(score["judged_by"]["prompts"].as_object().unwrap().len(), 4);
    assert!(score["judged_by"]["prompts"]["single-math-v1"].is_string());
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 2, "a radar and bars");
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "the page must stand alone");
    let answers = std::fs::read_to_string(folder.join("answers/vicuna.jsonl")).unwrap();
    assert_eq!(answers.lines().count(), 80);
    assert!(std::fs::read(folder.join("judgments.parquet")).unwrap().starts_with(b"PAR1"));
}
