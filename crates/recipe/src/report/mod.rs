//! A report's shell: paper, verdicts, errata, where it ran. What a recipe measured stands between
//! them, as a body of its own.

mod facts;
mod tuning;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use camelid_files::{FileError, write_whole};
use camelid_report::{PAGE_STYLE, ReportError, environment};
use serde::Serialize;

pub use self::facts::{RunFacts, machine, today};
pub use self::tuning::{ArmRow, Curve, FormatRow, PlanRow, Sample, Tuning};
use crate::RecipeError;
use crate::claims::{Claim, ClaimsFile, Decision, Erratum, Evidence, Paper, Verdict};

/// What a report says of a recipe that measured `details`.
#[derive(Debug, Clone, Serialize)]
pub struct Report<D> {
    /// The recipe, e.g. `guanaco`.
    pub recipe: String,
    /// The scale it ran at.
    pub scale: String,
    /// The command that repeats it.
    pub command: String,
    /// What the run used: date, versions, machine, device, time.
    pub run: RunFacts,
    /// The paper.
    pub paper: Paper,
    /// Claim by claim.
    pub claims: Vec<ClaimRow>,
    /// Known disagreements between paper and code.
    pub errata: Vec<Erratum>,
    /// The base model and the data, as short lines.
    pub inputs: Vec<String>,
    /// What was measured, its fields beside these.
    #[serde(flatten)]
    pub details: D,
    /// The resolved settings as TOML.
    pub settings: String,
}

/// One row of the claims table.
#[derive(Debug, Clone, Serialize)]
pub struct ClaimRow {
    /// The claim.
    pub claim: Claim,
    /// Its verdict.
    pub decision: Decision,
    /// `held`, `direction`, `refuted` or `open`, for the page's colours.
    pub class: String,
    /// The verdict in words.
    pub words: String,
    /// What was measured.
    pub evidence: Option<Evidence>,
}

impl ClaimRow {
    /// The verdict that `evidence`, gathered at `scale`, supports ([`Claim::decide`]).
    pub fn decided(claim: &Claim, evidence: Option<&Evidence>, scale: &str, paper_scale: bool) -> Self {
        let decision = claim.decide(evidence, scale, paper_scale);
        let class = match decision.verdict {
            Verdict::Held => "held",
            Verdict::HeldInDirection => "direction",
            Verdict::RefutedHere => "refuted",
            Verdict::NotTestable => "open",
        };
        Self {
            claim: claim.clone(),
            class: class.to_owned(),
            words: decision.verdict.words().to_owned(),
            decision,
            evidence: evidence.cloned(),
        }
    }
}

impl ClaimsFile {
    /// A row for each claim, decided by the evidence under its id ([`Claim::decide`]).
    pub fn decided(
        &self,
        evidence: &BTreeMap<&str, Evidence>,
        scale: &str,
        paper_scale: bool,
    ) -> Vec<ClaimRow> {
        let row =
            |claim: &Claim| ClaimRow::decided(claim, evidence.get(claim.id.as_str()), scale, paper_scale);
        self.claims.iter().map(row).collect()
    }
}

/// Writes any recipe's report: `report.json` of what serde makes of it, and `page` as `report.html`,
/// into `folder`, each whole or not at all; returns the path of the page.
///
/// # Errors
/// When a file cannot be written.
pub fn write_report(folder: &Path, report: &impl Serialize, page: &str) -> Result<PathBuf, RecipeError> {
    std::fs::create_dir_all(folder).map_err(FileError::io(folder, "create"))?;
    let path = folder.join("report.json");
    let json = serde_json::to_vec_pretty(report)
        .map_err(|error| FileError::Content { path: path.clone(), message: error.to_string() })?;
    write_whole(&path, &json)?;
    let path = folder.join("report.html");
    write_whole(&path, page.as_bytes())?;
    Ok(path)
}

impl<D: Serialize> Report<D> {
    /// Writes `report.json` and, with `body` (HTML) between the claims and the errata,
    /// `report.html` into `folder`, each whole or not at all, and returns the path of the page.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, body: &str) -> Result<PathBuf, RecipeError> {
        write_report(folder, self, &self.page(body)?)
    }

    /// The page. What cannot be tested at this scale is folded away below what was.
    ///
    /// # Errors
    /// A body that the template cannot take.
    pub fn page(&self, body: &str) -> Result<String, ReportError> {
        let mut environment = environment();
        environment.add_template("report", include_str!("page.html.j2"))?;
        let page = environment.get_template("report")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            style => PAGE_STYLE,
            body => body,
        })?;
        Ok(page)
    }

    /// The verdicts as text: those that were reached, then the claims that stay open.
    pub fn verdicts_text(&self) -> String {
        let mut text = format!("{} at scale {}\n", self.paper.title, self.scale);
        let (open, decided): (Vec<_>, Vec<_>) = self.claims.iter().partition(|row| row.class == "open");
        for row in decided.into_iter().chain(open) {
            text += &format!("\n{:<27} {}\n", format!("[{}]", row.words), row.claim.title);
            text += &format!("{:<27} {}", "", row.decision.because);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, words: &str, class: &str) -> ClaimRow {
        let text = format!(
            "id='{id}'\ntitle='t {id}'\nplace=''\npublished={{}}\nmeasured_by=''\nrefuted_by=''\nscales=[]\n\
             check={{kind='order'}}"
        );
        let claim: Claim = toml::from_str(&text).unwrap();
        let decision = Decision { verdict: Verdict::Held, because: "because".into() };
        ClaimRow { claim, decision, class: class.into(), words: words.into(), evidence: None }
    }

    #[test]
    fn what_cannot_be_tested_is_folded_below_what_was() {
        let report = Report {
            recipe: "r".into(),
            scale: "nano".into(),
            command: "c".into(),
            run: RunFacts::of(std::time::Instant::now(), 2, "flex (CPU)"),
            paper: Paper { title: "<P>".into(), authors: "a".into(), year: 2023, source: "s".into() },
            claims: vec![row("x", "not testable at this scale", "open"), row("y", "held", "held")],
            errata: Vec::new(),
            inputs: Vec::new(),
            details: std::collections::BTreeMap::from([("arms", 3)]),
            settings: String::new(),
        };
        let page = report.page("<p>the body</p>").unwrap();
        let at = |needle: &str| page.find(needle).unwrap_or_else(|| panic!("{needle} is not in the page"));
        assert!(at("id=\"y\"") < at("class=\"folded\"") && at("class=\"folded\"") < at("id=\"x\""));
        assert!(at("id=\"x\"") < at("<p>the body</p>") && at("&lt;P&gt;") > 0 && at("flex (CPU)") > 0);
        let text = report.verdicts_text();
        assert!(text.find("t y").unwrap() < text.find("t x").unwrap());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((&json["arms"], &json["run"]["reused_arms"]), (&3.into(), &2.into()));
    }
}
