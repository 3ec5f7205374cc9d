//! The recipe as a user runs it: the program itself, at the size made for tests.

mod program;

use program::{Recipe, said};
use serde_json::Value;

const RECIPE: Recipe = Recipe("wizardmath");

#[test]
fn sums_are_evolved_both_ways_and_every_step_of_an_answer_is_checked() {
    let runs = tempfile::tempdir().unwrap();
    let output = RECIPE.run(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    let first = RECIPE.report(runs.path());
    let arms = first["arms"].as_array().unwrap();
    assert_eq!(arms.iter().map(|arm| arm["name"].as_str().unwrap()).collect::<Vec<_>>(), ["seeds", "both"]);
    assert!(arms.iter().all(|arm| arm["rows"] == 24 && arm["parts"].as_array().unwrap().len() == 5));

    // Each hundred answers are all accounted for, and evolved rows are right but for those that were spoilt.
    let table = |title: &str| {
        let tables = first["tables"].as_array().unwrap();
        tables.iter().find(|table| table["title"] == title).unwrap()["rows"].as_array().unwrap().clone()
    };
    let figure = |row: &Value, at: usize| row[at].as_str().unwrap().parse::<f64>().unwrap();
    for row in table("Where answers go wrong") {
        let sum: f64 = (1..=5).map(|at| figure(&row, at)).sum();
        assert!((sum - 100.0).abs() < 0.5, "{row}");
    }
    for row in table("What the step checker finds in the evolved rows") {
        assert!((80.0..100.0).contains(&figure(&row, 1)), "{row}");
    }
    let page = std::fs::read_to_string(runs.path().join("wizardmath-check/report.html")).unwrap();
    assert!(page.matches("<svg").count() >= 2 && !page.contains("src=\"http"));
    assert!(page.contains("camelid eval score gsm8k"));

    let output = RECIPE.run(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("reused from an earlier run").count(), 2);
    assert_eq!(RECIPE.report(runs.path())["claims"], first["claims"]);
}

#[test]
fn plans_are_shown_and_what_is_no_scale_is_refused() {
    RECIPE.shows_plans_and_refuses_what_is_none();
}
