//! `camelid eval score` on completions and judgments that exist already.

mod camelid;

use camelid::{error_of, output_of, text};
use serde_json::Value;

#[test]
fn vicunas_first_reviews_add_up_to_the_published_totals() {
    let Some(oracles) = camelid_tests::oracles() else { return };
    let folder = oracles.join("vicuna-blog/vicuna-13b_20230322-clean-lang");
    for (other, totals, at_least_equal) in [
        ("llama-13b", (513.0, 694.0), 0.9625),
        ("bard", (664.0, 655.5), 0.625),
        ("gpt35", (693.0, 638.0), 0.45),
    ] {
        let file = folder.join(format!("review_{other}_vicuna-13b.jsonl"));
        let scores: Value =
            serde_json::from_str(&output_of(&["eval", "score", "vicuna-reviews", text(&file), "--json"]))
                .unwrap();
        let found = scores.as_object().unwrap().values().find_map(|value| value.as_array()?.first()).unwrap();
        let number = |key: &str| found[key].as_f64().unwrap();
        assert_eq!((number("total_first"), number("total_second")), totals, "{other}");
        assert_eq!(number("second_at_least_equal"), at_least_equal, "{other}");
    }
}

#[test]
fn what_holds_no_scores_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.jsonl");
    std::fs::write(&file, "{\"a\": 1}\n{\"a\": 2}\n").unwrap();
    for suite in ["vicuna-reviews", "mt-bench"] {
        let said = error_of(&["eval", "score", suite, text(&file)]);
        assert!(said.contains("rows.jsonl"), "{suite}: {said}");
    }
    assert!(error_of(&["eval", "score", "humanevil", text(&file)]).contains("humaneval"));
    assert!(error_of(&["eval", "score", "mt-bench", "nowhere.jsonl"]).contains("nowhere.jsonl"));
}
