//! The recipe as a user runs it: the program itself, at the size made for tests.

mod program;

use program::{Recipe, said};
use serde_json::Value;

const RECIPE: Recipe = Recipe("vicuna");

#[test]
fn pages_become_a_report_and_nothing_is_run_twice() {
    let runs = tempfile::tempdir().unwrap();
    let output = RECIPE.run(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    let first = RECIPE.report(runs.path());

    // Every conversation of the raw pages is kept or dropped by a rule.
    let count =
        |rows: &mut dyn Iterator<Item = &Value>| rows.map(|row| row[1].as_u64().unwrap()).sum::<u64>();
    let funnel = first["funnel"].as_array().unwrap();
    let dropped = |row: &&Value| row[0].as_str().unwrap().starts_with("dropped");
    assert_eq!(funnel[0][1], 200);
    assert_eq!(
        count(&mut funnel.iter().filter(dropped).chain(&funnel[funnel.len() - 2..funnel.len() - 1])),
        200
    );
    assert!(funnel.iter().filter(dropped).count() >= 5, "{funnel:?}");

    // Six arms beside the untuned base, on about the same number of tokens.
    let arms = first["arms"].as_array().unwrap();
    let tokens: Vec<f64> = arms[1..].iter().map(|arm| arm["tokens"].as_f64().unwrap()).collect();
    assert_eq!(tokens.len(), 6);
    assert!(tokens.iter().all(|t| (0.5..2.0).contains(&(t / tokens[0]))), "{tokens:?}");
    let tested = |row: &&Value| row["claim"]["scales"].as_array().unwrap().contains(&"nano".into());
    let claims: Vec<&Value> = first["claims"].as_array().unwrap().iter().filter(tested).collect();
    assert_eq!(claims.len(), 12);
    assert!(claims.iter().all(|row| row["evidence"].is_object()), "{claims:?}");
    let page = std::fs::read_to_string(runs.path().join("vicuna-check/report.html")).unwrap();
    assert!(page.matches("<svg").count() >= 2 && !page.contains("src=\"http"));

    let output = RECIPE.run(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("reused from an earlier run").count(), 6 + 2);
    assert_eq!(RECIPE.report(runs.path())["claims"], first["claims"]);
}

#[test]
fn every_scale_says_what_it_takes_before_anything_is_fetched() {
    let runs = tempfile::tempdir().unwrap();
    for scale in ["nano", "smol", "7b", "13b", "33b"] {
        let output = RECIPE.run(runs.path(), &["--scale", scale, "--dry-run"]);
        assert!(output.status.success(), "{scale}: {}", said(&output));
        assert!(said(&output).contains("GiB") || said(&output).contains("MiB"), "{scale}: {}", said(&output));
    }
    let refused = RECIPE.run(runs.path(), &["--scale", "65b"]);
    assert!(!refused.status.success() && said(&refused).contains("nano, smol, 7b, 13b and 33b"));
    let refused = RECIPE.run(runs.path(), &["--scale", "check", "--judge", "http://localhost:1/v1#m"]);
    assert!(!refused.status.success() && said(&refused).contains("--judge has no place here"));
}
