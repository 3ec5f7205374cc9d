//! The book's first hour, command by command, on a model of a test's size.

mod camelid;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camelid::save_byte_model;
use camelid_tests::chat_server::{Answer, Server};
use camelid_tests::{pages, workspace};

/// The page's name of the model.
const MODEL: &str = "smollm2-135m-instruct";

/// The files that the page has its reader write, with the settings of a test in place of an hour's.
fn write_files(page: &str, folder: &Path, model: &str) {
    let block = |language: &str| {
        let blocks = pages::blocks(page, &[language]);
        assert_eq!(blocks.len(), 1, "one block of {language}");
        blocks[0].1.to_owned()
    };
    fs::write(folder.join("chats.json"), block("json")).unwrap();
    fs::write(folder.join("questions.jsonl"), block("jsonl")).unwrap();
    let mut toml = block("toml");
    for (shown, here) in [
        ("epochs = 10", "steps = 2".to_owned()),
        (&format!("\"{MODEL}\"") as &str, format!("{model:?}")),
        ("\"quantized\"", "\"f32\"".to_owned()),
    ] {
        assert!(toml.contains(shown), "{shown}: {toml}");
        toml = toml.replacen(shown, &here, 1);
    }
    fs::write(folder.join("tune.toml"), toml).unwrap();
}

/// A server that runs until Ctrl-C: it must answer that it is well.
fn served(mut arguments: Vec<String>, folder: &Path) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = arguments.iter().position(|word| word == "--port").expect("the page names a port");
    arguments[at + 1] = port.to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_camelid"))
        .args(&arguments)
        .current_dir(folder)
        .env("CAMELID_OFFLINE", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let healthy = || {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
        connection.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut reply = String::new();
        connection.read_to_string(&mut reply).ok()?;
        reply.lines().next()?.contains(" 200 ").then_some(())
    };
    let began = Instant::now();
    let ended = loop {
        if healthy().is_some() {
            break None;
        }
        if let Some(status) = child.try_wait().unwrap() {
            break Some(format!("it ended with {status}"));
        }
        if began.elapsed() > Duration::from_secs(120) {
            break Some("it stayed silent".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(ended, None, "`{}`", arguments.join(" "));
}

#[test]
fn every_command_of_the_first_hour_does_its_part() {
    let page = fs::read_to_string(workspace().join("docs/first-hour.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    save_byte_model(&model, 4096);
    let model = model.to_str().unwrap();
    write_files(&page, folder.path(), model);
    // A judge whose verdicts can be read; the random model's could not.
    let judge = Server::start(|_| Answer::Text("Both are short. [[C]]".to_owned()));
    let judge = format!("judge={}#judge", judge.base_url());

    let commands: Vec<Vec<String>> =
        pages::commands(&page).into_iter().filter(|words| words[0] == "camelid").collect();
    let asked: Vec<&str> = commands.iter().map(|words| words[1].as_str()).collect();
    for step in ["doctor", "data", "train", "chat", "merge", "eval", "serve", "arena", "export"] {
        assert!(asked.contains(&step), "{step} is no part of the hour: {asked:?}");
    }
    for words in commands {
        let mut arguments: Vec<String> = words[1..].iter().map(|word| word.replace(MODEL, model)).collect();
        for at in 0..arguments.len() {
            if arguments[at] == "--judge" {
                arguments[at + 1].clone_from(&judge);
            }
        }
        if ["serve", "arena"].contains(&arguments[0].as_str()) {
            served(arguments, folder.path());
            continue;
        }
        if arguments[0] == "chat" {
            arguments.extend(["--max-new-tokens", "8"].map(str::to_owned));
        }
        let output = Command::new(env!("CARGO_BIN_EXE_camelid"))
            .args(&arguments)
            .current_dir(folder.path())
            .env("CAMELID_OFFLINE", "1")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "`{}`: {}{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    for made in [
        "runs/bakery/adapter/adapter_config.json",
        "runs/bakery/adapter/adapter_model.safetensors",
        "runs/bakery/report.html",
        "runs/bakery-merged/model.safetensors",
        "bakery.gguf",
        "bakery-q4.gguf",
        "bakery-f16.gguf",
    ] {
        assert!(folder.path().join(made).is_file(), "{made}");
    }
}
