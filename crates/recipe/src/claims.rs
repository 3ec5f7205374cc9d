//! A paper's claims as data, and the verdicts that measurements support.
//!
//! A claims file (`papers/<paper>/claims.toml`) says what a paper states, where,
//! with which figures, and what would refute it. A recipe gathers [`Evidence`]
//! per claim; [`Claim::decide`] turns it into a [`Decision`]. A claim that the
//! data cannot decide is never called held.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use camelid_report::short;
use serde::{Deserialize, Serialize};

use crate::compare::Difference;
use crate::digits::rounded;

/// What can go wrong with a claims file.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// The file cannot be read.
    #[error("{path}: cannot read the claims file: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a claims file.
    #[error("{path}: not a claims file: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        message: String,
    },
    /// Two claims share an id.
    #[error("{path}: claim id `{id}` stands twice; ids must be unique")]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
    },
}

/// A claims file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimsFile {
    /// The paper.
    pub paper: Paper,
    /// Its claims, in the order of the report.
    #[serde(rename = "claim")]
    pub claims: Vec<Claim>,
    /// Where paper, scripts and code disagree.
    #[serde(rename = "erratum", default)]
    pub errata: Vec<Erratum>,
}

/// The paper's particulars.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// Its title.
    pub title: String,
    /// Its authors.
    pub authors: String,
    /// Year of publication.
    pub year: u32,
    /// Where it is found.
    pub source: String,
}

/// One checkable claim.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Short identifier.
    pub id: String,
    /// The claim in one sentence, in our words.
    pub title: String,
    /// Section, table or figure.
    pub place: String,
    /// Published figures by name.
    pub published: BTreeMap<String, f64>,
    /// How it is measured here.
    pub measured_by: String,
    /// What would refute it.
    pub refuted_by: String,
    /// Scales at which it can be tested.
    pub scales: Vec<String>,
    /// How the verdict is reached.
    pub check: Check,
}

/// A known error or disagreement.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erratum {
    /// Short identifier.
    pub id: String,
    /// What disagrees and what is done here.
    pub text: String,
}

/// The rule by which figures decide a claim.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Check {
    /// Every measured figure lies within `tolerance` of its expected value.
    Exact {
        /// Largest accepted absolute deviation.
        tolerance: f64,
    },
    /// Every difference is positive beyond its 95 % interval.
    Order,
    /// The 95 % interval of every difference lies inside ±`margin`.
    Equal {
        /// Half-width of the region of practical equivalence.
        margin: f64,
        /// Unit of the margin.
        unit: String,
    },
    /// The difference is positive beyond its 95 % interval.
    Better,
    /// Nothing in this recipe measures it.
    None {
        /// Why.
        reason: String,
    },
}

/// What a recipe measured for one claim.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Figures to show, by name.
    pub figures: Vec<Figure>,
    /// For [`Check::Exact`]: measured against expected, by name.
    pub exact: Vec<ExactFigure>,
    /// For the comparing checks: differences whose expected sign is positive.
    pub differences: Vec<NamedDifference>,
    /// For [`Check::Equal`]: what each side gained over where it started, in
    /// the margin's unit. Two sides that moved by no more than the margin are
    /// equal for want of anything to compare, so their equality decides nothing.
    pub gains: Vec<NamedDifference>,
    /// Why the figures cannot decide the claim, where they cannot.
    pub undecidable: Option<String>,
    /// Anything a reader must know about them.
    pub note: String,
}

/// A figure to show beside a verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What it is.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its unit.
    pub unit: String,
}

impl Figure {
    /// A figure of this name and unit.
    pub fn of(name: &str, value: f64, unit: &str) -> Self {
        Self { name: name.to_owned(), value, unit: unit.to_owned() }
    }
}

/// A measured value with the value it should have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactFigure {
    /// What it is.
    pub name: String,
    /// As measured.
    pub measured: f64,
    /// As published.
    pub expected: f64,
}

/// A difference with its name, e.g. "FP4 − NF4".
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedDifference {
    /// What is compared.
    pub name: String,
    /// The difference; positive is what the claim expects.
    pub difference: Difference,
}

impl NamedDifference {
    /// The difference `left` − `right`.
    pub fn of(left: &str, right: &str, difference: Difference) -> Self {
        Self { name: format!("{left} − {right}"), difference }
    }
}

/// The four verdicts a report knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Measured at the paper's own terms and inside the tolerance.
    Held,
    /// The paper's sign at a smaller scale.
    HeldInDirection,
    /// The opposite, or outside the margin.
    RefutedHere,
    /// Nothing measured bears on it, or the interval is too wide to decide.
    NotTestable,
}

impl Verdict {
    /// The words of the report.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::HeldInDirection => "held in direction",
            Verdict::RefutedHere => "refuted here",
            Verdict::NotTestable => "not testable at this scale",
        }
    }
}

/// A verdict and the sentence that justifies it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, with figures.
    pub because: String,
}

impl ClaimsFile {
    /// Reads a claims file.
    ///
    /// # Errors
    /// [`ClaimsError`] when it cannot be read, has unknown or missing keys, or
    /// repeats an id.
    pub fn read(path: &Path) -> Result<Self, ClaimsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ClaimsError::Read { path: path.to_owned(), source })?;
        let file: ClaimsFile = toml::from_str(&text)
            .map_err(|error| ClaimsError::Parse { path: path.to_owned(), message: error.to_string() })?;
        for (i, claim) in file.claims.iter().enumerate() {
            if file.claims[..i].iter().any(|earlier| earlier.id == claim.id) {
                return Err(ClaimsError::Duplicate { path: path.to_owned(), id: claim.id.clone() });
            }
        }
        Ok(file)
    }
}

impl Claim {
    /// The verdict that `evidence`, gathered at `scale`, supports.
    ///
    /// `paper_scale` says whether `scale` is one of the paper's own: a
    /// comparison that holds at a smaller one is held in direction only, while
    /// exact arithmetic is the same at every scale.
    pub fn decide(&self, evidence: Option<&Evidence>, scale: &str, paper_scale: bool) -> Decision {
        if let Check::None { reason } = &self.check {
            return undecided(reason.clone());
        }
        if !self.scales.iter().any(|s| s == scale) {
            return undecided(format!("it is tested at {}", self.scales.join(", ")));
        }
        let Some(evidence) = evidence else {
            return undecided("the arms it compares were not run; `--all` runs them".to_owned());
        };
        if let Some(reason) = &evidence.undecidable {
            let exact = evidence.exact.iter().map(measured_and_expected);
            let figures: Vec<_> = evidence.differences.iter().map(sentence).chain(exact).collect();
            let shown = if figures.is_empty() { String::new() } else { figures.join("; ") + ": " };
            return undecided(shown + reason);
        }
        let comparison_holds = if paper_scale { Verdict::Held } else { Verdict::HeldInDirection };
        match &self.check {
            // Decided above.
            Check::None { reason } => undecided(reason.clone()),
            Check::Exact { tolerance } => decide_exact(&evidence.exact, *tolerance),
            Check::Order | Check::Better => decide_positive(&evidence.differences, comparison_holds),
            Check::Equal { margin, unit } => decide_equal(evidence, *margin, unit, comparison_holds),
        }
    }
}

fn undecided(because: String) -> Decision {
    Decision { verdict: Verdict::NotTestable, because }
}

fn decide_exact(figures: &[ExactFigure], tolerance: f64) -> Decision {
    if figures.is_empty() {
        return undecided("nothing was measured".to_owned());
    }
    let deviation = |f: &ExactFigure| (f.measured - f.expected).abs();
    // A NaN deviation must not pass as small.
    match figures.iter().find(|f| deviation(f).is_nan() || deviation(f) > tolerance) {
        Some(worst) => Decision {
            verdict: Verdict::RefutedHere,
            because: format!(
                "{}: {} measured, {} expected, beyond the tolerance {tolerance}",
                worst.name,
                short(worst.measured),
                short(worst.expected)
            ),
        },
        None => Decision {
            verdict: Verdict::Held,
            because: figures.iter().map(measured_and_expected).collect::<Vec<_>>().join("; "),
        },
    }
}

fn measured_and_expected(f: &ExactFigure) -> String {
    format!("{}: {} measured, {} expected", f.name, short(f.measured), short(f.expected))
}

fn decide_positive(differences: &[NamedDifference], holds: Verdict) -> Decision {
    if differences.is_empty() {
        return undecided("nothing was compared".to_owned());
    }
    let because = differences.iter().map(sentence).collect::<Vec<_>>().join("; ");
    if differences.iter().any(|d| d.difference.certainly_negative()) {
        Decision { verdict: Verdict::RefutedHere, because }
    } else if differences.iter().all(|d| d.difference.certainly_positive()) {
        Decision { verdict: holds, because }
    } else {
        undecided(format!("{because}: an interval crosses zero, undecided"))
    }
}

fn decide_equal(evidence: &Evidence, margin: f64, unit: &str, holds: Verdict) -> Decision {
    let differences = &evidence.differences;
    if differences.is_empty() {
        return undecided("nothing was compared".to_owned());
    }
    let because = format!(
        "{} (margin ±{margin} {unit})",
        differences.iter().map(sentence).collect::<Vec<_>>().join("; ")
    );
    let inside = |d: &NamedDifference| {
        let (low, high) = d.difference.interval();
        low > -margin && high < margin
    };
    let outside = |d: &NamedDifference| {
        let (low, high) = d.difference.interval();
        low > margin || high < -margin
    };
    let too_little = evidence.gains.iter().find(|gain| gain.difference.interval().0 <= margin);
    if differences.iter().any(outside) {
        Decision { verdict: Verdict::RefutedHere, because }
    } else if let Some(gain) = too_little {
        undecided(format!("{because}: {} is not beyond the margin, so equality says nothing", sentence(gain)))
    } else if differences.iter().all(inside) {
        Decision { verdict: holds, because }
    } else {
        undecided(format!("{because}: the interval crosses the margin, undecided"))
    }
}

fn sentence(named: &NamedDifference) -> String {
    let (low, high) = named.difference.interval();
    let seeds = match named.difference.seeds {
        1 => "1 seed".to_owned(),
        n => format!("{n} seeds"),
    };
    format!(
        "{}: {} [{}, {}], n = {}, {seeds}",
        named.name,
        rounded(named.difference.mean, named.difference.standard_error),
        rounded(low, named.difference.standard_error),
        rounded(high, named.difference.standard_error),
        named.difference.examples
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(check: Check) -> Claim {
        Claim {
            id: "c".into(),
            title: String::new(),
            place: String::new(),
            published: BTreeMap::new(),
            measured_by: String::new(),
            refuted_by: String::new(),
            scales: vec!["nano".into()],
            check,
        }
    }

    fn evidence(mean: f64, standard_error: f64) -> Evidence {
        let difference = Difference { mean, standard_error, examples: 100, seeds: 2 };
        Evidence {
            differences: vec![NamedDifference { name: "a − b".into(), difference }],
            ..Evidence::default()
        }
    }

    fn verdict(check: Check, evidence: &Evidence) -> Verdict {
        claim(check).decide(Some(evidence), "nano", false).verdict
    }

    #[test]
    fn better_needs_an_interval_above_zero() {
        assert_eq!(verdict(Check::Better, &evidence(0.2, 0.05)), Verdict::HeldInDirection);
        assert_eq!(verdict(Check::Better, &evidence(0.05, 0.05)), Verdict::NotTestable);
        assert_eq!(verdict(Check::Better, &evidence(-0.2, 0.05)), Verdict::RefutedHere);
    }

    #[test]
    fn equal_needs_an_interval_inside_the_margin() {
        let check = || Check::Equal { margin: 0.1, unit: "nats".into() };
        assert_eq!(verdict(check(), &evidence(0.01, 0.01)), Verdict::HeldInDirection);
        assert_eq!(verdict(check(), &evidence(0.01, 0.10)), Verdict::NotTestable);
        assert_eq!(verdict(check(), &evidence(0.30, 0.01)), Verdict::RefutedHere);
    }

    #[test]
    fn exact_arithmetic_holds_at_every_scale_and_nan_refutes() {
        let figure = |measured| Evidence {
            exact: vec![ExactFigure { name: "bits".into(), measured, expected: 0.127 }],
            ..Evidence::default()
        };
        let check = || Check::Exact { tolerance: 0.001 };
        assert_eq!(verdict(check(), &figure(0.1271)), Verdict::Held);
        assert_eq!(verdict(check(), &figure(0.13)), Verdict::RefutedHere);
        assert_eq!(verdict(check(), &figure(f64::NAN)), Verdict::RefutedHere);
    }

    #[test]
    fn nothing_measured_is_never_held() {
        for check in [Check::Order, Check::Better, Check::Exact { tolerance: 1.0 }] {
            assert_eq!(verdict(check.clone(), &Evidence::default()), Verdict::NotTestable);
            assert_eq!(claim(check).decide(None, "nano", true).verdict, Verdict::NotTestable);
        }
    }

    #[test]
    fn the_papers_own_scale_earns_held() {
        let mut better = claim(Check::Better);
        better.scales = vec!["7b".into()];
        let decision = better.decide(Some(&evidence(0.2, 0.05)), "7b", true);
        assert_eq!(decision.verdict, Verdict::Held);
    }

    #[test]
    fn a_claim_is_decided_only_at_its_scales_and_where_figures_can() {
        let better = claim(Check::Better);
        let elsewhere = better.decide(Some(&evidence(0.2, 0.05)), "smol", false);
        assert_eq!(elsewhere.verdict, Verdict::NotTestable);
        let blocked = Evidence { undecidable: Some("one seed".into()), ..evidence(0.2, 0.05) };
        let decision = better.decide(Some(&blocked), "nano", false);
        assert_eq!(decision.verdict, Verdict::NotTestable);
        assert!(decision.because.ends_with("one seed"), "{}", decision.because);
    }

    #[test]
    fn equality_of_two_that_learnt_nothing_decides_nothing() {
        let check = || Check::Equal { margin: 0.1, unit: "nats".into() };
        let with_gain = |gain| {
            let gains = evidence(gain, 0.01).differences;
            Evidence { gains, ..evidence(0.0, 0.0) }
        };
        assert_eq!(verdict(check(), &with_gain(0.0)), Verdict::NotTestable);
        assert_eq!(verdict(check(), &with_gain(0.5)), Verdict::HeldInDirection);
    }

    #[test]
    fn the_qlora_claims_file_reads() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../papers/qlora/claims.toml");
        let file = ClaimsFile::read(&path).unwrap();
        assert!(file.claims.len() >= 10 && file.errata.iter().any(|e| e.id == "dropout-13b"));
    }

    #[test]
    fn an_unknown_key_and_a_repeated_id_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("claims.toml");
        let paper = "[paper]\ntitle='t'\nauthors='a'\nyear=1\nsource='s'\n";
        let claim = "[[claim]]\nid='x'\ntitle=''\nplace=''\npublished={}\nmeasured_by=''\nrefuted_by=''\nscales=[]\ncheck={kind='order'}\n";
        std::fs::write(&path, format!("{paper}{claim}{claim}")).unwrap();
        assert!(matches!(ClaimsFile::read(&path), Err(ClaimsError::Duplicate { id, .. }) if id == "x"));
        std::fs::write(&path, format!("{paper}{claim}verdict='held'\n")).unwrap();
        let error = ClaimsFile::read(&path).unwrap_err().to_string();
        assert!(error.contains("verdict"), "{error}");
    }
}
