//! The report of agreement between judges.

use std::collections::BTreeMap;
use std::fmt::Write;

use camelid_report::{PAGE_STYLE, Report, ReportError, environment, text_table};
use serde::{Deserialize, Serialize};

use super::plots::{RatingRow, rating_intervals};
use super::ratings::{dropped, percent};
use crate::{
    Agreement, GroupAgreement, Interval, RatingsError, RejectedRow, Selection, SourceFile, Sources, agreement,
};

/// A group of judges whose votes are compared as those of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeGroup {
    /// Its name.
    pub name: String,
    /// Names of its judges; `*` at the end stands for anything.
    pub judges: Vec<String>,
}

impl JudgeGroup {
    /// The people of MT-bench's and Chatbot Arena's files: `expert_0`, `author_1`, `arena_user_2`, `human`.
    pub fn humans() -> Self {
        let judges = ["expert_*", "author_*", "arena_user_*", "human*"].map(str::to_owned).to_vec();
        Self { name: "human".to_owned(), judges }
    }

    fn holds(&self, judge: &str) -> bool {
        self.judges.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => judge.starts_with(start),
            None => judge == pattern,
        })
    }
}

/// What a group turned out to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupMembers {
    /// Its name.
    pub name: String,
    /// Its judges.
    pub judges: usize,
    /// Their verdicts.
    pub votes: usize,
}

/// Everything a report of agreement says.
#[derive(Debug, Clone, Serialize)]
pub struct AgreementReport {
    /// Version of Camelid.
    pub camelid: &'static str,
    /// The command that repeats it.
    pub command: String,
    /// The files that were read.
    pub files: Vec<SourceFile>,
    /// Rows that were no battles, all of them.
    pub dropped: Vec<RejectedRow>,
    /// Battles that were read.
    pub read: u64,
    /// What looks like a mistake and is none for sure.
    pub notices: Vec<String>,
    /// Which of them count.
    pub selection: Selection,
    /// The groups.
    pub groups: Vec<GroupMembers>,
    /// Verdicts that name no judge or no question, and cannot be compared.
    pub incomparable: usize,
    /// Every two groups, all turns together and each turn.
    pub rows: Vec<AgreementRow>,
}

/// Agreement of two groups with its intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgreementRow {
    /// The counts.
    #[serde(flatten)]
    pub counts: GroupAgreement,
    /// The share of all pairs of votes that agree, with its 95 % interval; chance is a third.
    pub with_ties_rate: Option<Interval>,
    /// The share among pairs of votes that both decided; chance is a half.
    pub without_ties_rate: Option<Interval>,
}

impl AgreementRow {
    /// `gpt-4 – human, turn 1`.
    pub fn name(&self) -> String {
        let GroupAgreement { left, right, turn, .. } = &self.counts;
        let turn = turn.map_or_else(String::new, |turn| format!(", turn {turn}"));
        format!("{left} – {right}{turn}")
    }
}

impl AgreementReport {
    /// Compares the votes of the battles that `selection` keeps. A judge in none of the `groups` is
    /// a group of its own.
    ///
    /// # Errors
    /// Those of [`Selection::apply`]; [`RatingsError::Empty`] when no two judges voted on the same
    /// pair, question and turn.
    pub fn new(
        sources: &Sources,
        selection: &Selection,
        groups: &[JudgeGroup],
        command: String,
    ) -> Result<Self, RatingsError> {
        let battles = selection.apply(&sources.battles)?;
        let group = |judge: &str| {
            let named = groups.iter().find(|group| group.holds(judge));
            named.map_or_else(|| judge.to_owned(), |group| group.name.clone())
        };
        let mut members: BTreeMap<String, GroupMembers> = BTreeMap::new();
        let entry = |name: String| GroupMembers { name, judges: 0, votes: 0 };
        for judge in battles.judges().all() {
            let name = group(judge);
            members.entry(name.clone()).or_insert_with(|| entry(name)).judges += 1;
        }
        let mut incomparable = 0;
        for row in battles.rows() {
            match row.judge.map(|judge| group(battles.judges().name(judge))) {
                Some(name) if row.question.is_some() => {
                    members.entry(name.clone()).or_insert_with(|| entry(name)).votes += 1;
                }
                _ => incomparable += 1,
            }
        }
        let rate = |a: &Agreement| a.rate();
        let rows = agreement(&battles, |judge| Some(group(judge)))?.into_iter().map(|counts| AgreementRow {
            with_ties_rate: rate(&counts.with_ties),
            without_ties_rate: rate(&counts.without_ties),
            counts,
        });
        Ok(Self {
            camelid: env!("CARGO_PKG_VERSION"),
            command,
            files: sources.files.clone(),
            dropped: sources.battles.rejected().to_vec(),
            read: sources.battles.votes(),
            notices: sources.notices.clone(),
            selection: selection.clone(),
            rows: rows.collect(),
            groups: members.into_values().collect(),
            incomparable,
        })
    }
}

/// Groups, and pairs of groups, that the text names: one screen of them.
const NAMED_GROUPS: usize = 40;

/// How many were left out.
fn more(all: usize, what: &str) -> String {
    match all.saturating_sub(NAMED_GROUPS) {
        0 => String::new(),
        more => format!("… and {more} more {what}; --json and --parquet name all, --group unites judges\n"),
    }
}

impl Report for AgreementReport {
    fn text(&self) -> String {
        let mut text = "Agreement between judges: votes on the same pair, question and turn.\n\n".to_owned();
        let mut groups: Vec<&GroupMembers> = self.groups.iter().collect();
        if groups.len() > NAMED_GROUPS {
            groups.sort_by_key(|group| std::cmp::Reverse(group.votes));
        }
        let shown = groups.iter().take(NAMED_GROUPS);
        let shown = shown.map(|g| vec![g.name.clone(), g.judges.to_string(), g.votes.to_string()]);
        text += &text_table(&["group", "judges", "votes"], &shown.collect::<Vec<_>>(), &[0]);
        text += &more(self.groups.len(), "groups");
        let share = |i: &Option<Interval>| i.as_ref().map_or_else(|| "–".to_owned(), percent);
        let row = |row: &AgreementRow| {
            let GroupAgreement { left, right, turn, with_ties, without_ties } = &row.counts;
            vec![
                left.clone(),
                right.clone(),
                turn.map_or_else(|| "all".to_owned(), |turn| turn.to_string()),
                share(&row.with_ties_rate),
                with_ties.compared.to_string(),
                share(&row.without_ties_rate),
                without_ties.compared.to_string(),
            ]
        };
        let header = ["", "", "turn", "with ties", "pairs", "without ties", "pairs"];
        text += "\n";
        let mut rows: Vec<&AgreementRow> = self.rows.iter().collect();
        if rows.len() > NAMED_GROUPS {
            rows.sort_by_key(|row| std::cmp::Reverse(row.counts.with_ties.compared));
        }
        let shown: Vec<Vec<String>> = rows.into_iter().take(NAMED_GROUPS).map(row).collect();
        text += &text_table(&header, &shown, &[0, 1, 2]);
        text += &more(self.rows.len(), "pairs of groups");
        text += "\nBy chance a third of the votes would agree, and half of those that both decide.\n\
                 A judge that contradicts itself when the order is swapped has voted for a tie.\n\
                 Intervals are Wilson's, 95 %.\n";
        if self.incomparable > 0 {
            let _ = writeln!(
                text,
                "\n{} verdicts name no judge or no question and cannot be compared.",
                self.incomparable
            );
        }
        for notice in &self.notices {
            let _ = writeln!(text, "\n{notice}");
        }
        text + &dropped(&self.dropped, self.read)
    }

    fn page(&self) -> Result<String, ReportError> {
        let mut environment = environment();
        environment.add_template("agreement", include_str!("agreement.html.j2"))?;
        let names: Vec<String> = self.rows.iter().map(AgreementRow::name).collect();
        let percent = |share: Interval| {
            let [value, low, high] = [share.value, share.low, share.high].map(|share| 100.0 * share);
            Interval { value, low, high }
        };
        let plotted: Vec<RatingRow> = self
            .rows
            .iter()
            .zip(&names)
            .map(|(row, name)| RatingRow {
                name,
                reference: None,
                series: [row.with_ties_rate, row.without_ties_rate].map(|share| share.map(percent)).to_vec(),
                bounded: true,
            })
            .collect();
        let formats: Vec<&str> = self.files.iter().map(|file| file.format.words()).collect();
        Ok(environment.get_template("agreement")?.render(minijinja::context! {
            report => minijinja::Value::from(minijinja::value::Serde(self)),
            style => PAGE_STYLE,
            formats,
            plot => rating_intervals(&plotted, &["with ties", "without ties"], None)?,
        })?)
    }
}
