//! Published judgments and other implementations' ratings, from the oracle folder.

use std::path::{Path, PathBuf};

use camelid_ratings::{
    BradleyTerry, Elo, Order, Orderings, PairCounts, PositionEffect, TieRule, WinMatrix, read, read_reviews,
};
use camelid_tests::oracles;
use serde_json::Value;

fn review_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("qlora-elo/vicuna-pairwise")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn fastchat_ratings_of_five_thousand_battles() {
    let Some(folder) = oracles() else { return };
    let battles = read(&folder.join("ratings/battles_5000x12.csv")).unwrap();
    assert_eq!((battles.rows().len(), battles.models().len()), (5000, 12));
    let text = std::fs::read_to_string(folder.join("ratings/ratings_fastchat.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let close = |models: &[String], ratings: &[f64], name: &str, tolerance: f64| {
        for (model, rating) in models.iter().zip(ratings) {
            let expected = golden[name][model].as_f64().unwrap();
            assert!((rating - expected).abs() < tolerance, "{name}, {model}: {rating}, {expected}");
        }
    };
    let rated = Elo::default().sequential(&battles).unwrap();
    close(&rated.models, &rated.ratings, "compute_elo_K4", 1e-9);
    // FastChat doubles the data and fits log₁₀ strengths with scikit-learn's C = 1. Its solver
    // stops early: at its own ratings the gradient is still 0.5, which is 0.1 points.
    let ridge = 0.5 / 10f64.ln().powi(2);
    let fitted = BradleyTerry { ridge, ..BradleyTerry::default() };
    let fitted = fitted.fit(&PairCounts::new(&battles).unwrap()).unwrap();
    close(&fitted.models, &fitted.ratings, "compute_elo_mle_with_tie", 0.15);
}

#[test]
fn qlora_reviews_are_as_their_names_say_and_thirteen_have_no_verdict() {
    let Some(folder) = oracles() else { return };
    let reviews = read_reviews(&review_files(&folder)).unwrap();
    assert_eq!(reviews.orders.len(), 56);
    assert!(reviews.orders.iter().all(|file| file.order == Order::AsNamed));
    let battles = &reviews.battles;
    assert_eq!((battles.rows().len(), battles.models().len()), (4467, 8));
    assert_eq!((battles.rejected().len(), battles.questions().all().len()), (13, 80));
    assert!(battles.rejected().iter().all(|row| row.field == "score" && row.found == "-1"));
    let ties = battles.rows().iter().filter(|row| row.outcome.score() == 0.5).count();
    assert_eq!(ties, 600);

    let effect = PositionEffect::new(battles).unwrap();
    assert_eq!((effect.overall.first, effect.overall.second), (2512, 1355));
    assert!(effect.overall.rate().unwrap().low > 0.6, "GPT-4 favours the first answer");
    let matrix = WinMatrix::new(battles, TieRule::Half).unwrap();
    let (gpt4, small) =
        (battles.model("gpt4").unwrap() as usize, battles.model("7b-guanaco").unwrap() as usize);
    // 79 wins and a tie shown first; 69 wins, 6 ties and 5 losses shown second.
    assert!((matrix.rate(gpt4, small).unwrap() - (79.5 + 72.0) / 160.0).abs() < 1e-12);
}

/// Table 1 of the QLoRA paper.
const PUBLISHED: [(&str, f64); 8] = [
    ("gpt4", 1348.0),
    ("65b-guanaco", 1022.0),
    ("30b-guanaco", 992.0),
    ("vicuna-13b", 974.0),
    ("gpt35", 966.0),
    ("13b-guanaco", 916.0),
    ("bard", 902.0),
    ("7b-guanaco", 879.0),
];

#[test]
fn qlora_table_one_is_found_again() {
    let Some(folder) = oracles() else { return };
    let battles = read_reviews(&review_files(&folder)).unwrap().battles;
    let elo = Elo { k: 32.0, ..Elo::default() };
    let gaps = |matches| {
        let rated = elo.averaged(&battles, &Orderings { orderings: 2000, matches, seed: 0 }).unwrap();
        PUBLISHED.map(|(model, published)| rated.ratings[battles.model(model).unwrap() as usize] - published)
    };
    // Every battle in each ordering: GPT-4 comes out higher, the rest within 7 points.
    let full = gaps(None);
    assert!((full[0] - 27.0).abs() < 4.0, "{full:?}");
    assert!(full[1..].iter().all(|gap| gap.abs() < 8.0), "{full:?}");
    // 500 battles in each ordering: all within 5.
    let part = gaps(Some(500));
    assert!(part.iter().all(|gap| gap.abs() < 5.0), "{part:?}");
}
