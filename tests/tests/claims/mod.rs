//! What the suites of several papers share: from measured figures to verdicts on the claims of a file.

// Every suite is a program of its own and uses a part.
#![allow(dead_code)]

use std::path::Path;

use camelid_recipe::claims::{ClaimsFile, Evidence, ExactFigure, NamedDifference, Verdict};
use camelid_recipe::compare::Difference;
use camelid_tests::workspace;

/// The claims of a folder of `papers`.
pub fn claims_of(paper: &str) -> ClaimsFile {
    ClaimsFile::read(&workspace().join(format!("papers/{paper}/claims.toml"))).unwrap()
}

/// Measured figures under the names that the claim publishes them by.
pub fn exact(claims: &ClaimsFile, id: &str, measured: &[(&str, f64)]) -> Evidence {
    let claim = claims.claims.iter().find(|claim| claim.id == id).unwrap();
    assert_eq!(claim.published.len(), measured.len(), "{id}: every published figure is measured");
    let figure = |&(name, measured): &(&str, f64)| ExactFigure {
        name: name.to_owned(),
        measured,
        expected: claim.published[name],
    };
    Evidence { exact: measured.iter().map(figure).collect(), ..Evidence::default() }
}

/// A difference that the claim expects to be positive.
pub fn better(name: &str, mean: f64, standard_error: f64, examples: usize) -> NamedDifference {
    let difference = Difference { mean, standard_error, examples, seeds: 1 };
    NamedDifference { name: name.to_owned(), difference }
}

/// The verdict on a claim, printed with what decided it.
pub fn decided(claims: &ClaimsFile, id: &str, scale: &str, evidence: &Evidence) -> Verdict {
    let claim = claims.claims.iter().find(|claim| claim.id == id).unwrap();
    let decision = claim.decide(Some(evidence), scale, true);
    println!("{id}: {} ({})", decision.verdict.words(), decision.because);
    decision.verdict
}

/// That every claim which files or arithmetic decide is named in a suite.
pub fn every_claim_is_computed(claims: &ClaimsFile, suite: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(suite);
    let own = std::fs::read_to_string(path).unwrap();
    for claim in &claims.claims {
        let here =
            claim.scales.iter().any(|scale| ["published files", "arithmetic"].contains(&scale.as_str()));
        assert!(!here || own.contains(&format!("\"{}\"", claim.id)), "{}", claim.id);
    }
}
