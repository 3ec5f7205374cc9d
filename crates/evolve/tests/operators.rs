//! Which operator is drawn, and what its prompt says.

use std::collections::BTreeMap;

use camelid_evolve::published::{self, Edition};
use camelid_evolve::{Kind, Law, OperatorSet, Slot};
use camelid_tests::oracles;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Pearson's statistic of 60,000 draws against the law.
fn chi_square(set: &OperatorSet) -> f64 {
    const DRAWS: usize = 60_000;
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut drawn: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..DRAWS {
        *drawn.entry(&set.draw(&mut rng).0.name).or_default() += 1;
    }
    let total: f64 = set.operators.iter().map(|operator| operator.weight).sum();
    let part = |operator: &camelid_evolve::Operator| {
        let expected = DRAWS as f64 * operator.weight / total;
        let found = drawn.get(operator.name.as_str()).copied().unwrap_or(0) as f64;
        (found - expected).powi(2) / expected
    };
    set.operators.iter().map(part).sum()
}

fn general(law: Law) -> OperatorSet {
    OperatorSet::own("general").unwrap().under(law, &BTreeMap::new()).unwrap()
}

#[test]
fn operators_are_drawn_by_the_law() {
    // Upper 0.1 % points of chi-square with 5 and 4 degrees of freedom.
    let paper = general(Law::Equal);
    assert_eq!(paper.operators.len(), 6);
    assert!(chi_square(&paper) < 20.5);
    let released = general(Law::AsReleased);
    assert_eq!(released.operators.len(), 5);
    assert!(chi_square(&released) < 18.5);
    // The test can fail: draws by one law are not draws by another.
    let mut other = paper.clone();
    let uneven = BTreeMap::from([("breadth".to_owned(), 1.1)]);
    let drawn = paper.under(Law::Equal, &uneven).unwrap();
    other.operators.clone_from(&drawn.operators);
    other.operators.iter_mut().for_each(|operator| operator.weight = 1.0);
    assert!(chi_square(&drawn) < 20.5);
    assert_ne!(chi_square(&drawn), chi_square(&other));
}

#[test]
fn weights_take_operators_out_and_name_what_is_not_there() {
    let set = || OperatorSet::own("general").unwrap();
    let breadth_only: BTreeMap<String, f64> = set()
        .operators
        .iter()
        .filter(|operator| operator.kind == Kind::Depth)
        .map(|operator| (operator.name.clone(), 0.0))
        .collect();
    let only = set().under(Law::Equal, &breadth_only).unwrap();
    assert_eq!(only.operators.len(), 1);
    for (name, weight, said) in [("depening", 1.0, "deepening"), ("breadth", -1.0, "a number from 0")] {
        let weights = BTreeMap::from([(name.to_owned(), weight)]);
        let error = set().under(Law::Equal, &weights).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains(name), "{error}");
    }
    let none = set().operators.iter().map(|operator| (operator.name.clone(), 0.0)).collect();
    assert!(set().under(Law::Equal, &none).is_err());
}

#[test]
fn own_prompts_of_every_domain_are_whole() {
    for domain in ["general", "code", "math"] {
        let set = OperatorSet::own(domain).unwrap();
        for operator in &set.operators {
            let mut values = vec![(Slot::Instruction, "Name a river.")];
            values.extend(operator.data_formats.first().map(|format| (Slot::DataFormat, format.as_str())));
            let prompt = operator.prompt.fill(&values);
            assert!(prompt.contains("Name a river.") && !prompt.contains(['{', '}']), "{prompt}");
        }
    }
    assert!(OperatorSet::own("poems").unwrap_err().to_string().contains("general, code or math"));
}

#[test]
fn published_prompts_are_the_bytes_of_their_file() {
    let Some(folder) = oracles().map(|oracles| oracles.join("wizardlm")) else { return };
    let file = folder.join("evol_prompts.toml");
    let table: toml::Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let released = published::read(&file, Edition::Released).unwrap();
    assert_eq!(released.operators.len(), 5);
    let frame = table["released"]["depth"]["frame"].as_str().unwrap();
    for operator in released.operators.iter().filter(|operator| operator.kind == Kind::Depth) {
        let method = table["released"]["depth"]["methods"][operator.name.as_str()].as_str().unwrap();
        let filled = frame.replace("{method}", method).replace("{instruction}", "Name a river.");
        assert_eq!(operator.prompt.fill(&[(Slot::Instruction, "Name a river.")]), filled);
    }
    let paper = published::read(&file, Edition::Paper).unwrap();
    assert_eq!(paper.operators.len(), 6);
    let data = paper.operators.iter().find(|operator| operator.name == "complicate_input").unwrap();
    assert_eq!(data.data_formats.len(), 6);
    let prompt = data.prompt.fill(&[(Slot::Instruction, "Name a river."), (Slot::DataFormat, "JSON data")]);
    assert!(prompt.ends_with(
        "####\nThe Given Prompt:\nName a river.\nRewritten Prompt(MUST contain a specific JSON data as input):\n"
    ));
    assert!(prompt.contains("(MUST contain a specific python code as input)"));
    assert_eq!(published::read(&file, Edition::Code).unwrap().operators.len(), 5);
}

#[test]
fn a_file_of_prompts_that_lacks_something_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prompts.toml");
    std::fs::write(&path, "[paper.depth]\nframe = \"no slots\"\n").unwrap();
    let error = published::read(&path, Edition::Paper).unwrap_err().to_string();
    assert!(error.contains("prompts.toml") && error.contains("paper.depth.methods"), "{error}");
    std::fs::write(&path, "name = \"x\"\nnames = []\nfames = {}\n").unwrap();
    let error = OperatorSet::read(&path).unwrap_err().to_string();
    assert!(error.contains("fames"), "{error}");
}
