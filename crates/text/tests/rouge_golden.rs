//! ROUGE-L and the search beside the Python package `rouge-score` (`benches/peers/rouge_golden.py`).

use camelid_text::rouge::{Earlier, rouge_l};
use serde_json::Value;

#[test]
fn scores_and_decisions_are_those_of_rouge_score() {
    let golden: Value = serde_json::from_str(include_str!("golden/rouge.json")).unwrap();
    let texts: Vec<&str> =
        golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    for score in golden["scores"].as_array().unwrap() {
        let at = |place: usize| score[place].as_u64().unwrap() as usize;
        let found = rouge_l(texts[at(0)], texts[at(1)]);
        assert_eq!(found.to_bits(), score[2].as_f64().unwrap().to_bits(), "{score}");
    }
    let mut earlier = Earlier::new(0.7);
    let mut kept = Vec::new();
    for (place, (text, like)) in texts.iter().zip(golden["like"].as_array().unwrap()).enumerate() {
        let found = earlier.like(text).map(|like| kept[like.place] as u64);
        assert_eq!(found, like.as_u64(), "{place}: {text}");
        if found.is_none() {
            earlier.add(text);
            kept.push(place);
        }
    }
    assert!(kept.len() > 100 && kept.len() < texts.len() - 50, "{} of {}", kept.len(), texts.len());
}
