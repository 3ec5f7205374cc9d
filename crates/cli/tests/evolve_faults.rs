//! `camelid evolve run` against servers that fail, models that misbehave, a full disk and Ctrl-C.

mod camelid;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use camelid::{camelid as run_camelid, error_of, text};
use camelid_tests::SmallDisk;
use camelid_tests::chat_server::{Answer, Asked, Server};
use serde_json::{Value, json};

/// A model without faults.
fn sound(asked: &Asked) -> String {
    let prompt = asked.last();
    match prompt.split_once("Given task:\n") {
        Some((_, task)) => format!("{} Say why.", task.lines().next().unwrap_or_default()),
        None if prompt.starts_with("Compare") => "Not Equal".to_owned(),
        None => format!("An answer to {prompt}"),
    }
}

/// Settings beside six seeds; the evolver gives up on a reply after half a second and asks again at once.
fn settings(folder: &Path, server: &Server) -> String {
    let seed = |at| json!({"instruction": format!("Name {at} rivers."), "output": "Rhine"});
    let seeds: Vec<Value> = (0..6).map(seed).collect();
    std::fs::write(folder.join("seeds.json"), serde_json::to_string(&seeds).unwrap()).unwrap();
    let path = folder.join("evolve.toml");
    let settings = format!(
        "seeds = \"seeds.json\"\nevolution = {{ rounds = 2 }}\n[evolver]\nmodel = \"{}#served\"\n\
         timeout_ms = 500\nfirst_wait_ms = 5\nretries = 3\nconcurrency = 2\n",
        server.base_url()
    );
    std::fs::write(&path, settings).unwrap();
    text(&path).to_owned()
}

fn evolve(config: &str, run: &Path) -> Output {
    run_camelid(&["evolve", "run", config, "--run", text(run)])
}

fn lineage(run: &Path) -> String {
    std::fs::read_to_string(run.join("lineage.jsonl")).unwrap()
}

/// Begins a run and, once so many requests were answered, does something to it.
fn begun(config: &str, run: &Path, server: &Server, answered: usize) -> std::process::Child {
    let child = Command::new(env!("CARGO_BIN_EXE_camelid"))
        .args(["evolve", "run", config, "--run", text(run)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let before = server.counts().answered_in_all();
    server.wait_until(|counts| counts.answered_in_all() >= before + answered);
    child
}

#[test]
fn a_server_that_errs_stalls_and_restarts_gives_the_data_of_one_that_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    // Each kind of fault now and then, while `count` is below 40; then none.
    let faulty = count.clone();
    let mut server = Server::start(move |asked| {
        let reply = sound(asked);
        std::thread::sleep(Duration::from_millis(5));
        match faulty.fetch_add(1, Ordering::SeqCst) {
            at @ ..40 if at % 7 == 3 => Answer::Status(500, Vec::new(), "down".to_owned()),
            at @ ..40 if at % 7 == 5 => {
                Answer::Status(429, vec![("retry-after", "0".to_owned())], String::new())
            }
            at @ ..40 if at % 13 == 4 => Answer::Truncated(reply),
            at @ ..40 if at % 13 == 8 => Answer::Stall,
            at @ ..40 if at % 13 == 11 => Answer::Body("<html>".to_owned()),
            _ => Answer::Text(reply),
        }
    });
    let config = settings(folder.path(), &server);
    let run = folder.path().join("run");
    let child = begun(&config, &run, &server, 10);
    server.restart();
    let mut ended = child.wait_with_output().unwrap();
    for _ in 0..10 {
        if ended.status.success() {
            break;
        }
        // What failed is named, and what was answered is kept.
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(said.contains("what was answered is kept, run again to go on"), "{said}");
        ended = evolve(&config, &run);
    }
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    count.store(40, Ordering::SeqCst);
    let whole = folder.path().join("whole");
    assert!(evolve(&config, &whole).status.success());
    assert_eq!(lineage(&run), lineage(&whole));
}

#[test]
fn ctrl_c_and_a_kill_keep_what_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|asked| {
        std::thread::sleep(Duration::from_millis(20));
        Answer::Text(sound(asked))
    });
    let config = settings(folder.path(), &server);
    let (run, whole) = (folder.path().join("run"), folder.path().join("whole"));
    assert!(evolve(&config, &whole).status.success());
    let needed = server.counts().answered_in_all();

    let child = begun(&config, &run, &server, 8);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted: ") && said.contains("go on by the same command"), "{said}");
    let mut child = begun(&config, &run, &server, 8);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(evolve(&config, &run).status.success());
    assert_eq!(lineage(&run), lineage(&whole));
    // Ctrl-C waits for what is under way; a kill cannot, and two requests were.
    let again = server.counts().answered_in_all() - needed;
    assert!(again <= needed + 2, "{again} of {needed}");
}

#[test]
fn a_full_disk_is_named_and_the_run_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount("64k") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|asked| Answer::Text(sound(asked)));
    let config = settings(folder.path(), &server);
    let (ballast, run) = (disk.path().join("ballast"), disk.path().join("run"));
    std::fs::write(&ballast, vec![0; 52 << 10]).unwrap();
    let ended = evolve(&config, &run);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && said.contains("No space left on device"), "{said}");
    assert!(said.contains(text(&run)), "the file is named: {said}");
    std::fs::remove_file(&ballast).unwrap();
    let ended = evolve(&config, &run);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let whole = folder.path().join("whole");
    assert!(evolve(&config, &whole).status.success());
    assert_eq!(lineage(&run), lineage(&whole));
}

#[test]
fn a_model_that_only_misbehaves_ends_in_the_rules_that_say_how() {
    type Answering = fn(&Asked) -> Answer;
    let answers: [(Answering, &str); 3] = [
        (|asked| Answer::Text(asked.last().to_owned()), "12 by unchanged"),
        (|_| Answer::Text(String::new()), "12 by no_text"),
        (
            |asked| {
                let text = "on and ".repeat(asked.last().len());
                let choice =
                    json!({"message": {"role": "assistant", "content": text}, "finish_reason": "length"});
                Answer::Body(json!({"model": "served", "choices": [choice]}).to_string())
            },
            "12 by cut_off",
        ),
    ];
    for (answer, said) in answers {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(answer);
        let config = settings(folder.path(), &server);
        let run = folder.path().join("run");
        let error = error_of(&["evolve", "run", &config, "--run", text(&run)]);
        assert!(error.contains("no new instruction lives") && error.contains(said), "{error}");
        // A request for each seed and round, and no more.
        assert_eq!(server.counts().asked_in_all(), 12);
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(|asked| Answer::Text(sound(asked)));
    let config = settings(folder.path(), &server);
    server.stop();
    let run = folder.path().join("run");
    let error = error_of(&["evolve", "run", &config, "--run", text(&run)]);
    assert!(error.contains(&server.base_url()) && error.contains("round 1"), "{error}");
}
