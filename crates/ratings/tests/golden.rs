//! The rating methods against numpy and scipy, on a made-up set of battles
//! (`benches/peers/ratings_golden.py` writes both).

use camelid_ratings::{
    Anchor, Battles, BradleyTerry, Elo, Interval, NamedBattle, Outcome, PairCounts, Style, Ties,
};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/ratings.json")).unwrap()
}

fn numbers(golden: &Value, name: &str) -> Vec<f64> {
    golden[name].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// The battles, with model 0 first, model 1 second, … so that indices agree.
fn battles(golden: &Value) -> Battles {
    let rows: Vec<Vec<u32>> = serde_json::from_value(golden["battles"].clone()).unwrap();
    let mut battles = Battles::new();
    for row in &rows {
        let outcome = [Outcome::ModelA, Outcome::ModelB, Outcome::Tie][row[2] as usize];
        let style = |at: usize| Style {
            length: row[at] as f32,
            headers: row[at + 1] as f32,
            lists: row[at + 2] as f32,
            bold: row[at + 3] as f32,
        };
        let (a, b) = (row[0].to_string(), row[1].to_string());
        let style = Some([style(3), style(7)]);
        battles.push(&NamedBattle { style, ..NamedBattle::new(&a, &b, outcome) }).unwrap();
    }
    battles
}

/// Values by model name `0`, `1`, … against the golden ones, which stand in that order.
fn assert_close(models: &[String], values: &[f64], golden: &[f64], tolerance: f64) {
    assert_eq!(models.len(), golden.len());
    for (model, value) in models.iter().zip(values) {
        let expected = golden[model.parse::<usize>().unwrap()];
        assert!((value - expected).abs() <= tolerance, "model {model}: {value}, expected {expected}");
    }
}

/// Standard errors that intervals of one standard error say.
fn errors(intervals: &[Interval]) -> Vec<f64> {
    intervals.iter().map(|i| i.high - i.value).collect()
}

#[test]
fn sequential_elo_agrees_to_a_billionth() {
    let golden = golden();
    let rated = Elo { k: 32.0, ..Elo::default() }.sequential(&battles(&golden)).unwrap();
    assert_close(&rated.models, &rated.ratings, &numbers(&golden, "elo_k32"), 1e-9);
}

#[test]
fn bradley_terry_agrees_to_a_ten_thousandth_of_a_point() {
    let golden = golden();
    let counts = PairCounts::new(&battles(&golden)).unwrap();
    let fit = |ties| BradleyTerry { ties, ..BradleyTerry::default() }.fit(&counts).unwrap();
    let half = fit(Ties::Half);
    assert_close(&half.models, &half.ratings, &numbers(&golden, "bradley_terry_half"), 1e-4);
    let skip = fit(Ties::Skip);
    assert_close(&skip.models, &skip.ratings, &numbers(&golden, "bradley_terry_skip"), 1e-4);
    let tied = fit(Ties::RaoKupper);
    assert_close(&tied.models, &tied.ratings, &numbers(&golden, "rao_kupper"), 1e-3);
    assert!((tied.tie_parameter.unwrap() - golden["rao_kupper_nu"].as_f64().unwrap()).abs() < 1e-5);
}

#[test]
fn sandwich_errors_agree_with_and_without_an_anchor() {
    let golden = golden();
    let counts = PairCounts::new(&battles(&golden)).unwrap();
    let (rated, intervals) = BradleyTerry::default().sandwich(&counts, 1.0).unwrap();
    assert_close(&rated.models, &errors(&intervals), &numbers(&golden, "sandwich_error"), 1e-4);
    let anchor = Some(Anchor { model: "3".into(), rating: 1200.0 });
    let (rated, intervals) =
        BradleyTerry { anchor, ..BradleyTerry::default() }.sandwich(&counts, 1.0).unwrap();
    assert_close(&rated.models, &rated.ratings, &numbers(&golden, "anchored_at_3_to_1200"), 1e-4);
    assert_close(&rated.models, &errors(&intervals), &numbers(&golden, "sandwich_error_anchored"), 1e-4);
}

#[test]
fn style_control_agrees() {
    let golden = golden();
    let fitted = BradleyTerry::default().fit_with_style(&battles(&golden), 1.0).unwrap();
    let models = &fitted.ratings.models;
    assert_close(models, &fitted.ratings.ratings, &numbers(&golden, "style"), 1e-4);
    assert_close(models, &errors(&fitted.intervals), &numbers(&golden, "style_error"), 1e-4);
    let found = fitted.coefficients.iter().map(|c| c.value).collect::<Vec<_>>();
    for (name, found) in [
        ("style_coefficients", found),
        ("style_coefficient_error", errors(&fitted.coefficients)),
        ("style_spread", fitted.spread.to_vec()),
    ] {
        for (found, expected) in found.iter().zip(numbers(&golden, name)) {
            assert!((found - expected).abs() < 1e-4, "{name}: {found}, expected {expected}");
        }
    }
}
