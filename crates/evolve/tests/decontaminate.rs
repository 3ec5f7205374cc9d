//! Planted test items are found, through edits, and what is no test item is left alone.

use std::ops::ControlFlow;

use camelid_chat::requests::{RequestStore, RunSettings};
use camelid_chat::{GenerateOptions, GeneratedText, Message, StopReason, TextGenerator};
use camelid_evolve::{
    ContaminationSettings, Decontaminator, Desk, Evolution, EvolutionSettings, Model, Models, OperatorSet,
    Rule, Seed, TestItem,
};
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

/// The words of an item after so many edits, each a word replaced, left out or put in, between words of
/// another text.
fn planted(rng: &mut ChaCha8Rng, item: &TestItem, edits: usize) -> String {
    let mut words: Vec<&str> = item.text.split(' ').collect();
    for _ in 0..edits {
        let at = rng.random_range(0..words.len());
        match rng.random_range(0..3) {
            0 => words[at] = "zebra",
            1 => words.insert(at, "zebra"),
            _ => drop(words.remove(at)),
        }
    }
    let (before, after) = (text(rng, 20).join(" "), text(rng, 20).join(" "));
    format!("{before}. Now: {}! {after}", words.join(", ").to_uppercase())
}

/// An evolver that knows the test: of an even task it makes an item of it, with two words edited.
struct Leaking(Vec<TestItem>);

impl TextGenerator for Leaking {
    fn generate(
        &self,
        messages: &[Message],
        _options: &GenerateOptions,
        _on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        let prompt = &messages[0].content;
        let task = prompt.split_once("task:\nTask ").map(|(_, task)| task.split_once(' ').unwrap().0);
        let text = match task.map(|number| number.parse::<usize>().unwrap()) {
            Some(number) if number % 2 == 0 => {
                planted(&mut ChaCha8Rng::seed_from_u64(number as u64), &self.0[number / 2], 2)
            }
            Some(number) => {
                format!("Write {number} lines about a town of {number} streets.")
            }
            None => "Here they are, one by one, as was asked for.".to_owned(),
        };
        Ok(GeneratedText {
            text,
            prompt_tokens: None,
            new_tokens: None,
            reason: StopReason::TurnEnd,
            model_version: None,
            own_temperature: false,
        })
    }
}

#[test]
fn recall_falls_with_edits_and_nothing_else_is_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let items = items(&mut rng);
    let mut recall = |ngram: usize| {
        let settings = ContaminationSettings { ngram, ..ContaminationSettings::default() };
        let decontaminator = Decontaminator::new(items.clone(), settings).unwrap();
        for _ in 0..500 {
            let other = text(&mut rng, 60).join(" ");
            assert!(decontaminator.hits(&other).is_empty(), "{other}");
        }
        [0, 1, 2, 4, 8].map(|edits| {
            let mut found = |item: &&TestItem| {
                let hits = decontaminator.hits(&planted(&mut rng, item, edits));
                hits.iter().any(|hit| hit.id == item.id)
            };
            items.iter().filter(|item| found(item)).count()
        })
    };
    // Of 200 items of 30 words, at 0, 1, 2, 4 and 8 edits. The README states it.
    assert_eq!((recall(13), recall(8)), ([200, 200, 200, 114, 21], [200, 200, 200, 198, 141]));
}

#[test]
fn a_run_ends_every_item_that_an_evolver_plants_and_no_other_row() {
    let items = items(&mut ChaCha8Rng::seed_from_u64(5))[..30].to_vec();
    let folder = tempfile::tempdir().unwrap();
    let store = RequestStore::open(&folder.path().join("replies.jsonl")).unwrap();
    let against = Decontaminator::new(items.clone(), ContaminationSettings::default()).unwrap();
    let generator = Leaking(items);
    let model = Model {
        generator: &generator,
        name: "leaking".into(),
        options: GenerateOptions::default(),
        settings: RunSettings::default(),
    };
    let seed = |number| Seed {
        instruction: format!("Task {number} is to say something."),
        response: Some("Something.".into()),
    };
    let evolution = Evolution {
        settings: &EvolutionSettings { rounds: 1, ..EvolutionSettings::default() },
        operators: &OperatorSet::own("general").unwrap(),
        models: Models { evolver: model.clone(), answerer: model, judge: None },
        desk: Desk { store: &store, stop: None, spending_limit: None },
        against: Some(&against),
    };
    let rows = evolution.run(&(0..60).map(seed).collect::<Vec<_>>(), &mut |_| (), &mut |_| Ok(())).unwrap();
    for row in rows.iter().filter(|row| row.round == 1) {
        let ended = row.ended.as_ref().map(|ended| ended.rule);
        assert_eq!(ended, (row.seed % 2 == 0).then_some(Rule::Contaminated), "{row:?}");
        // The hit names the item, and nothing is paid for what it ended.
        let named = row.hits.iter().any(|hit| hit.id == (row.seed / 2).to_string());
        assert_eq!((named, row.calls.len()), (row.seed % 2 == 0, 1 + row.seed % 2));
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
fn minhash_finds_what_is_nearly_an_item_as_a_whole_and_not_what_quotes_it() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let items: Vec<TestItem> = (0..200)
        .map(|id| TestItem { set: "test".into(), id: id.to_string(), text: text(&mut rng, 120).join(" ") })
        .collect();
    // Runs that no row shares, so that MinHash alone decides.
    let only = ContaminationSettings { ngram: 1000, share: 1.0, similarity: Some(0.7) };
    let decontaminator = Decontaminator::new(items.clone(), only.clone()).unwrap();
    let found = |item: &TestItem, row: &str| {
        let hits = decontaminator.hits(row);
        assert!(hits.iter().all(|hit| hit.id == item.id), "{hits:?}");
        hits.iter().find_map(|hit| hit.similarity)
    };
    // An edit of a word changes five of 116 runs.
    let edited = |item: &TestItem, edits: usize, rng: &mut ChaCha8Rng| {
        let mut words: Vec<&str> = item.text.split(' ').collect();
        (0..edits).for_each(|_| words[rng.random_range(0..120)] = "zebra");
        words.join(" ").to_uppercase()
    };
    for item in &items {
        assert_eq!(found(item, &item.text), Some(1.0));
        // The item beside as much other text: half of the runs are equal. Runs of words find it.
        let other = text(&mut rng, 120).join(" ");
        assert_eq!(found(item, &format!("{} {other}", item.text)), None);
    }
    let recall = [1, 2, 4, 12].map(|edits| {
        items.iter().filter(|item| found(item, &edited(item, edits, &mut rng)).is_some()).count()
    });
    assert!(recall[0] >= 185 && recall[1] >= 140 && recall[3] <= 10, "{recall:?}");
    assert!(recall.is_sorted_by(|a, b| a >= b), "{recall:?}");
    // Unless it is asked for, it says nothing.
    let without =
        Decontaminator::new(items.clone(), ContaminationSettings { similarity: None, ..only }).unwrap();
    assert!(items.iter().all(|item| without.hits(&edited(item, 1, &mut rng)).is_empty()));
}

#[test]
fn settings_out_of_range_are_named() {
    for (settings, name) in [
        (ContaminationSettings { ngram: 2, ..Default::default() }, "ngram"),
        (ContaminationSettings { share: 0.0, ..Default::default() }, "share"),
        (ContaminationSettings { share: f64::NAN, ..Default::default() }, "share"),
        (ContaminationSettings { similarity: Some(1.5), ..Default::default() }, "similarity"),
        (ContaminationSettings { similarity: Some(f64::NAN), ..Default::default() }, "similarity"),
    ] {
        let error = Decontaminator::new([], settings).err().unwrap().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
}
