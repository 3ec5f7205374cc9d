//! The recipe as a user runs it: the program itself, at the size made for tests.

mod program;

use std::path::Path;
use std::process::Output;

use camelid_kernels::device;
use camelid_model::{Llama, LlamaConfig};
use camelid_recipe::nano;
use camelid_tests::chat_server::{Answer, Server};
use camelid_tests::{byte_tokenizer, oracles};
use program::{Recipe, said};
use serde_json::Value;

const RECIPE: Recipe = Recipe("wizardlm");

fn recipe(runs: &Path, options: &[&str]) -> Output {
    let mut command = RECIPE.command(runs, options);
    if let Some(oracles) = oracles() {
        command.env("CAMELID_MIRROR", oracles);
    }
    command.output().unwrap()
}

#[test]
fn instructions_are_evolved_into_a_report_and_nothing_is_run_twice() {
    let runs = tempfile::tempdir().unwrap();
    let output = recipe(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    let first = RECIPE.report(runs.path());

    // First instructions of equal tokens are more of them, and about as many tokens.
    let arm = |name: &str| {
        let arms = first["general"].as_array().unwrap();
        arms.iter().find(|arm| arm["name"] == name).unwrap_or_else(|| panic!("{name}"))
    };
    let figure = |name: &str, field: &str| arm(name)[field].as_f64().unwrap();
    assert_eq!(figure("mix", "rows"), figure("seeds", "rows"));
    assert!(figure("seeds-tokens", "rows") > figure("seeds", "rows"));
    let tokens = figure("seeds-tokens", "tokens") / figure("mix", "tokens");
    assert!((0.7..1.4).contains(&tokens), "{tokens}");
    assert_eq!(first["not_run"].as_array().unwrap().len(), 20);

    // Rules find what they name, and no wrong answer.
    for at in first["faults"].as_array().unwrap() {
        for fault in at["found"].as_array().unwrap() {
            let ended = if fault["name"] == "wrong answer" { &0.into() } else { &fault["named"]["made"] };
            assert_eq!(&fault["named"]["ended"], ended, "{at}");
            assert_eq!(fault["rightly"], fault["by_its_rule"], "{at}");
        }
    }
    let page = std::fs::read_to_string(runs.path().join("wizardlm-check/report.html")).unwrap();
    assert!(page.matches("<svg").count() >= 3 && !page.contains("src=\"http"));

    let output = recipe(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("reused from an earlier run").count(), 4);
    assert_eq!(RECIPE.report(runs.path())["claims"], first["claims"]);
}

/// A random model of a few weights with a token for each byte.
fn tiny_base(folder: &Path) {
    let tokenizer = byte_tokenizer(&["<s>", "</s>", "<pad>"]);
    let shape = LlamaConfig {
        max_position_embeddings: 2048,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        head_dim: 8,
        bos_token_id: Some(256),
        eos_token_ids: vec![257],
        pad_token_id: Some(258),
        ..nano::config(tokenizer.get_vocab_size(true))
    };
    std::fs::create_dir_all(folder).unwrap();
    tokenizer.save(folder.join("tokenizer.json"), false).unwrap();
    let model = Llama::random_with_std(&shape, 0.1, 0, &device(None).unwrap());
    model.save_safetensors(folder).unwrap();
}

/// Makes tasks longer by one of several sentences, now and then speaks of the prompt, sees no gain or is sorry.
fn evolver() -> Server {
    Server::start(|asked| {
        let prompt = asked.last();
        let die = prompt.bytes().map(u64::from).sum::<u64>() + asked.body["seed"].as_u64().unwrap_or(0);
        let task =
            prompt.split_once("Given task:\n").map(|(_, task)| task.lines().next().unwrap_or_default());
        Answer::Text(match (task, die % 8) {
            (Some(_), 0) => "The given task is too easy.".to_owned(),
            (Some(task), _) => format!("{task} Give {} reasons.", 2 + die % 97),
            (None, 0) if prompt.starts_with("Compare") => "Equal".to_owned(),
            (None, _) if prompt.starts_with("Compare") => "Not Equal".to_owned(),
            (None, 1) => "Sorry, no.".to_owned(),
            (None, _) => format!("There are {die} reasons, of which the first is best."),
        })
    })
}

#[test]
fn a_served_model_evolves_real_instructions_and_a_small_one_is_tuned_on_them() {
    if oracles().is_none() {
        println!("skipped: there is no Alpaca here");
        return;
    }
    let (server, folder) = (evolver(), tempfile::tempdir().unwrap());
    let (runs, base) = (folder.path().join("runs"), folder.path().join("base"));
    tiny_base(&base);
    let model = format!("{}#served", server.base_url());
    let options = ["--scale", "smol", "--offline", "--base", base.to_str().unwrap(), "--evolver", &model];
    let options = [&options[..], &["--evolver-price", "1,2"]].concat();

    // What it would take, without a request.
    let dry = recipe(&runs, &[&options[..], &["--dry-run"]].concat());
    let plan = said(&dry);
    assert!(
        dry.status.success() && plan.contains("evolving, if every row lives") && plan.contains("264"),
        "{plan}"
    );
    assert!(server.counts().asked_in_all() == 0 && !runs.exists());

    let output = recipe(&runs, &options);
    assert!(output.status.success(), "{}", said(&output));
    let read = |name: &str| std::fs::read_to_string(runs.join("wizardlm-smol").join(name)).unwrap();
    let report: Value = serde_json::from_str(&read("report.json")).unwrap();
    let round = &report["evolution"]["rounds"]["1"];
    assert_eq!(round["made"], 44);
    for rule in ["copied_prompt", "no_gain", "sorry"] {
        assert!(round["ended"][rule].as_u64().unwrap() > 0, "{round}");
    }
    let calls =
        |of: &Value| of.as_array().unwrap().iter().map(|of| of["calls"].as_u64().unwrap()).sum::<u64>();
    let (forecast, was) =
        (calls(&report["evolution"]["forecast"]["tasks"]), calls(&report["evolution"]["spent"]));
    assert!(forecast == 264 && (150..264).contains(&was), "{was} of {forecast}");

    // Both arms have as many rows; each model has losses on both parts of the test.
    let rows = read("data/train.jsonl");
    let of = |arm: &str| rows.lines().filter(|row| row.contains(&format!("\"id\":\"{arm} "))).count();
    assert!(of("mix") == of("seeds") && of("mix") > 25, "{} {}", of("mix"), of("seeds"));
    let models = report["models"].as_array().unwrap();
    assert_eq!(
        models.iter().map(|model| model["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["base", "seeds", "mix"]
    );
    assert!(
        models.iter().all(|model| model["losses"].as_array().unwrap().iter().all(Value::is_array)),
        "{models:?}"
    );
    let claim = |id: &str| {
        let claims = report["claims"].as_array().unwrap();
        claims.iter().find(|row| row["claim"]["id"] == id).unwrap()["words"].as_str().unwrap().to_owned()
    };
    assert_eq!(claim("evolved-over-seeds"), "not testable at this scale");
    assert_ne!(claim("pass-rate"), "not testable at this scale", "a served model decides it");
    assert!(
        read("report.html").contains("ended by no_gain")
            && read("evolution.html").contains("What was forecast")
    );
    assert_eq!(read("answers/mix.jsonl").lines().count(), read("answers/questions.jsonl").lines().count());

    // Nothing is asked, tuned or measured twice.
    let asked = server.counts().asked_in_all();
    let again = recipe(&runs, &options);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(said(&again).matches("reused from an earlier run").count(), 2);
    assert_eq!(server.counts().asked_in_all(), asked);
}

#[test]
fn an_option_without_a_place_is_refused() {
    let runs = tempfile::tempdir().unwrap();
    for (options, word) in [
        (["--scale", "check", "--evolver", "http://localhost:1/v1#m"], "--evolver"),
        (["--scale", "check", "--judge", "http://localhost:1/v1#m"], "--judge"),
        (["--scale", "smol", "--seeds", "3"], "--seeds"),
    ] {
        let output = recipe(runs.path(), &options);
        assert!(!output.status.success() && said(&output).contains(word), "{}", said(&output));
    }
}
