//! The recipe as a user runs it: the program itself, at the size made for tests.

mod program;

use program::{Recipe, said};

const RECIPE: Recipe = Recipe("wizardcoder");

#[test]
fn programs_are_evolved_written_and_run_and_a_development_set_says_where_to_stop() {
    let runs = tempfile::tempdir().unwrap();
    let output = RECIPE.run(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    let first = RECIPE.report(runs.path());
    let arms = first["arms"].as_array().unwrap();
    let names: Vec<_> = arms.iter().map(|arm| arm["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["seeds", "round-1", "union-1", "union-2", "stopped"]);
    for arm in arms {
        assert_eq!((&arm["rows"], &arm["programs"]), (&24.into(), &12.into()), "{arm}");
        assert!(arm["drawn_often"][0].as_f64().unwrap() >= arm["drawn"][0].as_f64().unwrap());
    }

    // Two of seven of each length are for development; what is kept is what stood before the first fall.
    let tables = first["tables"].as_array().unwrap();
    let stops = tables.iter().find(|table| table["title"] == "The stop rule").unwrap();
    assert!(stops["note"].as_str().unwrap().contains("8 development problems"), "{stops}");
    let row = stops["rows"][0].as_array().unwrap();
    let scores: Vec<f64> = row[1..].iter().map_while(|cell| cell.as_str().unwrap().parse().ok()).collect();
    assert_eq!(scores.len(), 3, "{row:?}");
    let rises = scores.windows(2).take_while(|pair| pair[1] > pair[0]).count();
    assert_eq!(row.last().unwrap(), &rises.to_string());
    let page = std::fs::read_to_string(runs.path().join("wizardcoder-check/report.html")).unwrap();
    assert!(page.matches("<svg").count() >= 2 && page.contains("--cut wizardcoder"));

    let output = RECIPE.run(runs.path(), &["--scale", "check"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("reused from an earlier run").count(), 4);
    assert_eq!(RECIPE.report(runs.path())["claims"], first["claims"]);
}

#[test]
fn plans_are_shown_and_what_is_no_scale_is_refused() {
    RECIPE.shows_plans_and_refuses_what_is_none();
}
