//! Wrong arguments and files: exit code 1, a message that helps, nothing written.

mod camelid;

use std::fs;

use camelid::{camelid, entries, error_of, output_of, save_nano_model, text};
use safetensors::SafeTensors;

#[test]
fn quantize_says_what_is_wrong_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    save_nano_model(&model, 64);
    let (model, out) = (text(&model), text(dir.path()).to_string() + "/out");
    for (args, expected) in [
        (vec!["--model", "/nowhere/model", "--out", &out], "/nowhere/model"),
        (vec!["--model", model, "--out", &out, "--format", "int4"], "bitsandbytes"),
        (vec!["--model", model, "--out", &out, "--format", "nf5"], "nf5"),
        (vec!["--model", model, "--out", &out, "--block-size", "48"], "48"),
        (vec!["--model", model, "--out", model], "not empty"),
        (vec!["--model", model, "--out", "/nowhere/out"], "does not exist"),
        (vec!["--model", model], "--out"),
        (vec!["--model", model, "--out", &out, "--fromat", "nf4"], "--fromat"),
    ] {
        let said = error_of(&[vec!["quantize"], args.clone()].concat());
        assert!(said.contains(expected), "{args:?}: {said}");
        assert_eq!(entries(dir.path()), ["model"], "{args:?}");
    }
}

#[test]
fn damaged_models_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    save_nano_model(&model, 64);
    let weights = model.join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    let out = dir.path().join("out");
    let quantize = || error_of(&["quantize", "--model", text(&model), "--out", text(&out)]);

    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    let said = quantize();
    assert!(said.contains("model.safetensors"), "{said}");

    let mut nan = whole.clone();
    let name = "model.layers.0.mlp.down_proj.weight";
    let data = SafeTensors::deserialize(&whole).unwrap().tensor(name).unwrap().data().as_ptr();
    let at = data.addr() - whole.as_ptr().addr();
    nan[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&weights, nan).unwrap();
    let said = quantize();
    assert!(said.contains("model/model.safetensors: ") && said.contains(name), "{said}");

    fs::write(&weights, &whole).unwrap();
    let config = fs::read_to_string(model.join("config.json")).unwrap();
    let wrong = config.replace("\"intermediate_size\": 128", "\"intermediate_size\": 96");
    assert_ne!(config, wrong);
    fs::write(model.join("config.json"), wrong).unwrap();
    let said = quantize();
    assert!(said.contains("mlp."), "names the tensor: {said}");
    assert_eq!(entries(dir.path()), ["model"]);
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_no_hidden_file() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (dir.path().join("model"), dir.path().join("out"));
    save_nano_model(&model, 512);
    let mut quantize = std::process::Command::new(env!("CARGO_BIN_EXE_camelid"));
    quantize.args(["quantize", "--model", text(&model), "--out", text(&out)]);
    let mut running = quantize.stdout(std::process::Stdio::null()).spawn().unwrap();
    while entries(dir.path()).len() == 1 && running.try_wait().unwrap().is_none() {}
    let interrupt = std::process::Command::new("kill").args(["-INT", &running.id().to_string()]).output();
    assert!(interrupt.is_ok());
    // It may have been done before the signal came.
    let (status, left) = (running.wait().unwrap(), entries(dir.path()));
    assert!(matches!(status.code(), Some(0 | 130)), "{status}");
    assert!(left.iter().all(|name| !name.starts_with('.')), "{left:?}");
}

#[test]
fn the_catalogue_is_listed_and_unknown_names_get_a_hint() {
    let list = output_of(&["data", "list"]);
    assert!(list.lines().next().unwrap().starts_with("name"));
    assert!(list.contains("oasst1-questions") && list.contains("4.1 MB"), "{list}");

    let said = error_of(&["data", "fetch", "oasst1-question"]);
    assert!(said.contains("did you mean \"oasst1-questions\"?"), "{said}");
    assert_eq!(camelid(&["--help"]).status.code(), Some(0));
    assert_eq!(camelid(&["dance"]).status.code(), Some(2));
}

/// Offline with empty caches there is nothing to find; with a mirror there is, and
/// it is checked.
#[test]
fn fetching_offline_looks_in_mirror_and_cache_only() {
    let dir = tempfile::tempdir().unwrap();
    let fetch = |mirror: &str| {
        std::process::Command::new(env!("CARGO_BIN_EXE_camelid"))
            .args(["data", "fetch", "oasst1-questions", "--offline"])
            .env("CAMELID_CACHE", dir.path().join("cache"))
            .env("HF_HOME", dir.path().join("hub"))
            .env("CAMELID_MIRROR", dir.path().join(mirror))
            .output()
            .unwrap()
    };
    let absent = fetch("none");
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("offline"), "{absent:?}");

    fs::create_dir_all(dir.path().join("mirror/oasst1")).unwrap();
    fs::write(dir.path().join("mirror/oasst1/oa_questions.jsonl"), "{}\n").unwrap();
    let wrong = fetch("mirror");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("oa_questions.jsonl"), "{wrong:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is_one() {
    for args in [&["data", "list"][..], &["completions", "zsh"], &["man"], &["eval", "ratings", "--help"]] {
        let run = |command: &str| {
            let camelid = env!("CARGO_BIN_EXE_camelid");
            let line = command.replace("CAMELID", &format!("'{camelid}' {}", args.join(" ")));
            std::process::Command::new("bash").args(["-c", &line]).output().unwrap()
        };
        let piped = run("CAMELID | true; exit ${PIPESTATUS[0]}");
        assert_eq!((piped.status.code(), piped.stderr.as_slice()), (Some(0), &b""[..]), "{args:?}");
        let full = run("CAMELID > /dev/full");
        let said = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(1), "{args:?}: {said}");
        assert!(
            said.starts_with("error: cannot print: No space left") && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[test]
fn a_cause_is_printed_once() {
    for args in
        [&["eval", "ratings", "nothere.csv"][..], &["chat", "--model", "nothere"], &["data", "fetch", "x"]]
    {
        let said = error_of(args);
        assert!(said.matches("os error 2").count() <= 1, "{args:?}: {said}");
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let script = output_of(&["completions", "bash"]);
    let dir = tempfile::tempdir().unwrap();
    output_of(&["man", "--out", text(dir.path())]);
    for command in ["chat", "quantize", "merge", "eval", "data"] {
        assert!(script.contains(&format!("camelid,{command})")), "{command}");
        assert!(entries(dir.path()).contains(&format!("camelid-{command}.1")), "{command}");
    }
    assert!(output_of(&["man"]).contains(".TH"));
}

#[test]
fn standard_error_on_a_full_disk_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("talk.jsonl");
    let row = r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#;
    fs::write(&file, format!("{row}\n")).unwrap();
    let code = |args: &str| {
        let line = format!("'{}' {args} 2>/dev/full", env!("CARGO_BIN_EXE_camelid"));
        std::process::Command::new("bash").args(["-c", &line]).output().unwrap().status.code()
    };
    let out = dir.path().join("out.jsonl.gz");
    let convert = format!("data convert '{}' --to messages --out '{}'", file.display(), out.display());
    assert_eq!(code(&convert), Some(0));
    assert!(camelid_files::Input::open(&out).unwrap().text().unwrap().contains("\"messages\""));
    assert_eq!(code("eval ratings nothere.csv"), Some(1));
    assert_eq!(code("data fetch nothere"), Some(2));
}

#[test]
fn values_that_cannot_be_end_with_2_whoever_finds_them() {
    let dir = tempfile::tempdir().unwrap();
    let votes = dir.path().join("votes.csv");
    fs::write(&votes, "model_a,model_b,winner\na,b,model_a\na,b,model_b\n").unwrap();
    let ratings = |more: &[&str]| [&["eval", "ratings", text(&votes)][..], more].concat().join(" ");
    let model = "chat --model nothere";
    for line in [
        format!("{model} --temperature -1"),
        format!("{model} --temperature nan"),
        format!("{model} --top-p 2"),
        format!("{model} --max-new-tokens 0"),
        "quantize --model nothere --out o --block-size 33".to_owned(),
        ratings(&["--k", "-3", "--method", "elo"]),
        ratings(&["--scale", "-400"]),
        ratings(&["--base", "1"]),
        ratings(&["--ridge", "-1"]),
        ratings(&["--k", "32"]),
        "eval tasks --model nothere --task gsm8k --limit 0".to_owned(),
        "eval tasks --model nothere --task gsm8k --pass-at 0".to_owned(),
        "eval tasks --model nothere --task gsm8k --samples 0".to_owned(),
        "eval tasks --model nothere --task nope".to_owned(),
        "eval judge --judge http://127.0.0.1:1/v1#x".to_owned(),
        "data convert nothere --to messages --out x.xyz".to_owned(),
        "data fetch nope".to_owned(),
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        let output = camelid(&args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {said}");
        assert!(said.starts_with("error: ") && said.contains("try '--help'"), "{line}: {said}");
    }
}

#[test]
fn files_that_a_judging_needs_are_looked_for_before_anything_is_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    for option in ["--answers", "--references", "--prompts", "--protocol", "--judge"] {
        let judge = if option == "--judge" { "nothere" } else { "http://127.0.0.1:1/v1#j" };
        let mut args = vec!["eval", "judge", "--judge", judge, "--model", "http://127.0.0.1:1/v1#m"];
        if option != "--judge" {
            args.extend([option, "nothere"]);
        }
        let said = error_of(&[&args[..], &["--run", text(&run)]].concat());
        let expected = match option {
            // A judge may also be a name of the catalogue.
            "--judge" => "error: no base model `nothere`: it is no path",
            _ => "error: nothere: cannot open: No such file",
        };
        assert!(said.starts_with(expected), "{option}: {said}");
        assert!(!run.exists());
    }
}
