//! Planted test items are found, through edits, and what is no test item is left alone.

use camelid_evolve::{ContaminationSettings, Decontaminator, TestItem};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WORDS: [&str; 40] = [
    "river", "count", "train", "apple", "seven", "price", "field", "stone", "north", "equal", "water",
    "after", "paint", "carry", "month", "green", "table", "speed", "twice", "lemon", "night", "metal",
    "paper", "short", "value", "round", "clock", "plant", "chair", "sugar", "angle", "shape", "coin", "ship",
    "road", "bird", "page", "milk", "glass", "hour",
];

fn text(rng: &mut ChaCha8Rng, words: usize) -> Vec<&'static str> {
    (0..words).map(|_| *WORDS.choose(rng).unwrap()).collect()
}

fn items(rng: &mut ChaCha8Rng) -> Vec<TestItem> {
    let item = |id: usize, text: String| TestItem { set: "test".into(), id: id.to_string(), text };
    (0..200).map(|id| item(id, text(rng, 30).join(" "))).collect()
}

/// The words of an item with some of them replaced, between words of another text.
fn planted(rng: &mut ChaCha8Rng, item: &TestItem, edits: usize) -> String {
    let mut words: Vec<&str> = item.text.split(' ').collect();
    for _ in 0..edits {
        let at = rng.random_range(0..words.len());
        words[at] = "zebra";
    }
    let (before, after) = (text(rng, 20).join(" "), text(rng, 20).join(" "));
    format!("{before}. Now: {}! {after}", words.join(", ").to_uppercase())
}

#[test]
fn recall_falls_with_edits_and_nothing_else_is_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let items = items(&mut rng);
    let found_of = |decontaminator: &Decontaminator, rng: &mut ChaCha8Rng, edits| {
        let found = |item: &&TestItem| {
            let row = planted(rng, item, edits);
            decontaminator.hits(&row).iter().any(|hit| hit.id == item.id)
        };
        items.iter().filter(found).count()
    };
    let thirteen = Decontaminator::new(items.clone(), ContaminationSettings::default()).unwrap();
    let eight = ContaminationSettings { ngram: 8, ..ContaminationSettings::default() };
    let eight = Decontaminator::new(items.clone(), eight).unwrap();
    assert_eq!(found_of(&thirteen, &mut rng, 0), 200);
    let recall: Vec<usize> = [1, 2, 4, 8].map(|edits| found_of(&thirteen, &mut rng, edits)).to_vec();
    assert!(recall[0] == 200 && recall[1] >= 180 && recall[3] < 60, "{recall:?}");
    assert!(recall.windows(2).all(|pair| pair[0] >= pair[1]), "{recall:?}");
    assert!(found_of(&eight, &mut rng, 4) > recall[2], "runs of 8 words find more");
    for _ in 0..500 {
        let other = text(&mut rng, 60).join(" ");
        assert!(thirteen.hits(&other).is_empty(), "{other}");
    }
}

#[test]
fn a_hit_names_the_item_and_quotes_what_is_shared() {
    let item = |id: &str, text: &str| TestItem { set: "sums".into(), id: id.into(), text: text.into() };
    let sums = [
        item("7", "Natalia sold clips to 48 of her friends in April, and half as many in May."),
        item("8", "How far is it to Rome?"),
        item("9", "Why?"),
    ];
    let sums = Decontaminator::new(sums, ContaminationSettings::default()).unwrap();
    assert_eq!(sums.too_short().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["9"]);
    let row = "Explain: natalia SOLD clips to 48 of her friends in april and half as many in June!";
    let hits = sums.hits(row);
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].id.as_str(), hits[0].run), ("7", 15));
    assert_eq!(hits[0].text, "natalia sold clips to 48 of her friends in april and half as many in");
    assert!(hits[0].to_string().starts_with("sums 7: \"natalia sold"));
    // A short item is looked for whole.
    assert_eq!(sums.hits("I ask you, how far is it to Rome by train?")[0].id, "8");
    assert!(sums.hits("How far is it to Paris?").is_empty());
    assert!(sums.hits("Why?").is_empty());
    assert!(sums.hits("").is_empty());
}

#[test]
fn settings_out_of_range_are_named() {
    for (settings, name) in [
        (ContaminationSettings { ngram: 2, ..Default::default() }, "ngram"),
        (ContaminationSettings { share: 0.0, ..Default::default() }, "share"),
        (ContaminationSettings { share: f64::NAN, ..Default::default() }, "share"),
    ] {
        let error = Decontaminator::new([], settings).err().unwrap().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
}
