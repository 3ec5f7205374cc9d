//! `camelid doctor`.

mod camelid;

use std::process::Command;

use camelid::output_of;
use serde_json::Value;

#[test]
fn the_machine_is_told_in_words_and_as_json() {
    let words = output_of(&["doctor"]);
    for part in ["processor", "instruction sets", "memory", "runs", "sandbox", "device cuda"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let json: Value = serde_json::from_str(&output_of(&["doctor", "--json"])).unwrap();
    assert!(json["processor"]["cores"].as_u64().unwrap() >= 1);
    assert!(json["processor"]["instruction_sets"].as_array().unwrap().contains(&"scalar".into()));
    let memory = &json["memory"];
    assert!(memory["total"].as_u64().unwrap() >= memory["available"].as_u64().unwrap());
    assert!(memory["available"].as_u64().unwrap() > 0);
    let runs = &json["disks"][0];
    assert_eq!((&runs["of"], &runs["writable"]), (&"runs".into(), &true.into()));
}

/// What `doctor --json` says with these variables set and nothing else.
fn told(variables: &[(&str, &str)]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_camelid"))
        .args(["doctor", "--json"])
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_is_missing_comes_with_the_command_that_brings_it() {
    let empty = tempfile::tempdir().unwrap();
    let empty = empty.path().to_str().unwrap();
    let report =
        told(&[("PATH", empty), ("HOME", empty), ("CAMELID_ISA", "scalar"), ("CAMELID_JUDGE_KEY", "secret")]);
    let need = |what: &str| {
        let needs = report["needs"].as_array().unwrap();
        needs.iter().find(|need| need["what"] == what).unwrap_or_else(|| panic!("no {what}")).clone()
    };
    assert_eq!(need("cc")["found"], "not found");
    assert!(need("cc")["command"].as_str().unwrap().contains("install"));
    assert!(need("LLVM 23")["command"].as_str().unwrap().contains("cargo xtask setup-llvm"));
    let cuda = need("device cuda");
    if cuda["found"].as_str().unwrap().starts_with("not compiled in") {
        assert!(cuda["command"].as_str().unwrap().contains("--features camelid-kernels/cuda"));
    }
    assert_eq!(report["processor"]["used"], "scalar");
    assert_eq!(report["environment"], serde_json::json!([["CAMELID_ISA", "scalar"]]));
    assert!(!report.to_string().contains("secret"));

    // A compiler that is there is named by its path.
    let cc = std::path::Path::new(empty).join("cc");
    std::fs::write(&cc, "").unwrap();
    let report = told(&[("PATH", empty), ("HOME", empty)]);
    let found = report["needs"].as_array().unwrap().iter().find(|need| need["what"] == "cc").unwrap().clone();
    assert_eq!((&found["found"], &found["command"]), (&cc.to_str().unwrap().into(), &Value::Null));
}
