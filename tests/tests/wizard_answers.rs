//! Published answers to GSM8K and MATH, scored as their own scripts do.

mod claims;

use camelid_data::catalogue::{FetchOptions, fetch};
use camelid_eval::answers::{Leniency, Protocol, Reading};
use camelid_eval::score::{AnswerOptions, AnswerScores, AnswerSuite, answers};
use camelid_eval::tasks::DataPlaces;
use camelid_recipe::claims::Verdict;
use claims::{claims_of, decided, exact};
use std::path::PathBuf;

/// A source of the catalogue where it is on this machine: in the mirror (`CAMELID_MIRROR`, else the golden
/// files) or the cache.
fn published(name: &str) -> Option<PathBuf> {
    let options = FetchOptions::from_env().ok()?;
    let mirror = options.mirror.clone().or_else(camelid_tests::oracles);
    match fetch(name, &FetchOptions { offline: true, mirror, ..options }) {
        Ok(path) => Some(path),
        Err(error) => {
            println!("skipped: {error} (`camelid data fetch {name}` brings it)");
            None
        }
    }
}

fn scored(suite: AnswerSuite, file: &PathBuf, options: AnswerOptions) -> AnswerScores {
    answers(suite, std::slice::from_ref(file), &options, &DataPlaces::default()).unwrap()
}

fn allowing(allow: &[Leniency]) -> AnswerOptions {
    AnswerOptions { allow: Some(allow.iter().copied().collect()), ..AnswerOptions::default() }
}

#[test]
fn toras_34b_has_1062_right_answers_and_1064_with_percentages() {
    let Some(file) = published("tora-gsm8k-34b") else { return };
    let right = |options| scored(AnswerSuite::Gsm8k, &file, options).right;
    assert_eq!(right(AnswerOptions::default()), 1062);
    for same in [Leniency::Close, Leniency::Round3, Leniency::OneSeparator] {
        // One separator is none in these answers: they come from programs.
        assert_eq!(right(allowing(&[same])), 1062, "{same:?}");
    }
    assert_eq!(right(allowing(&[Leniency::Percent])), 1064);
    assert_eq!(right(allowing(&[Leniency::RoundWhole])), 1065);
    assert_eq!(right(AnswerOptions { protocol: Protocol::Tora, ..AnswerOptions::default() }), 1064);
    // Read anew from what the model wrote.
    let anew = AnswerOptions { reading: Some(Reading::Tora), ..AnswerOptions::default() };
    assert_eq!(right(anew), 1062);

    let claims = claims_of("wizardmath");
    let share = |right: f64| 100.0 * right / 1319.0;
    let verdict = |id: &str, right: f64| {
        decided(&claims, id, "published files", &exact(&claims, id, &[("%", share(right))]))
    };
    assert_eq!(verdict("tora-34b", 1064.0), Verdict::Held);
    assert_eq!(verdict("tora-34b-strict", 1062.0), Verdict::RefutedHere);
}

#[test]
fn toras_70b_has_1112_under_every_comparison_but_rounding_to_whole_numbers() {
    let Some(file) = published("tora-gsm8k-70b") else { return };
    let right = |options| scored(AnswerSuite::Gsm8k, &file, options).right;
    for allow in [&[][..], &[Leniency::Percent], &[Leniency::Close], &[Leniency::Round3]] {
        assert_eq!(right(allowing(allow)), 1112, "{allow:?}");
    }
    assert_eq!(right(allowing(&[Leniency::RoundWhole])), 1114);
    let share = |right: usize| 100.0 * right as f64 / 1319.0;
    let tora = AnswerOptions { protocol: Protocol::Tora, ..AnswerOptions::default() };
    let measured =
        [("strictly, %", share(right(AnswerOptions::default()))), ("as ToRA, %", share(right(tora)))];
    let claims = claims_of("wizardmath");
    let found = exact(&claims, "tora-70b", &measured);
    assert_eq!(decided(&claims, "tora-70b", "published files", &found), Verdict::Held);
}

#[test]
fn maths_own_solutions_are_right() {
    let Some(file) = published("math-test") else { return };
    let rows = std::fs::read_to_string(&file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut golds = std::collections::BTreeSet::new();
    let mut lines = String::new();
    for line in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let answer = Protocol::Camelid.grading(camelid_eval::answers::AnswerKind::Expression);
        golds.insert(answer.read(row["solution"].as_str().unwrap()).unwrap().value);
        lines +=
            &serde_json::json!({"completion": row["solution"], "gt": row["solution"], "type": row["type"]})
                .to_string();
        lines.push('\n');
    }
    assert_eq!(
        golds.len(),
        2043,
        "different answers, as `last_boxed_only_string` gives them, without blanks at the ends"
    );
    let path = folder.path().join("solutions.jsonl");
    std::fs::write(&path, lines).unwrap();
    let scores = scored(AnswerSuite::Math, &path, AnswerOptions::default());
    assert_eq!((scores.right, scores.completions, scores.without), (5000, 5000, 0));
    let by_kind: Vec<(&str, usize)> = scores.groups.iter().map(|g| (g.group.as_str(), g.n)).collect();
    let expected = [
        ("Algebra", 1187),
        ("Counting & Probability", 474),
        ("Geometry", 479),
        ("Intermediate Algebra", 903),
        ("Number Theory", 540),
        ("Prealgebra", 871),
        ("Precalculus", 546),
    ];
    assert_eq!(by_kind, expected);
}
