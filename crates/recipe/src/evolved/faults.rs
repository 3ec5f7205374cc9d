//! What the rules of elimination found of the faults that were put in. Which row was spoilt how follows from the
//! seeds of its requests, so recall and precision are exact.

use std::collections::BTreeMap;

use camelid_data::nano::Slip;
use camelid_evolve::{Row, Rule, Task};
use serde::Serialize;

use super::evolver::{read, slip_of};

/// Rows with a fault, and those of them that some rule ended.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Count {
    /// Rows with it.
    pub made: usize,
    /// Those that ended.
    pub ended: usize,
}

/// What became of one kind of fault.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// The kind.
    #[serde(skip)]
    pub slip: Slip,
    /// Its name.
    pub name: &'static str,
    /// Faults in the form that a rule of the paper names.
    pub named: Count,
    /// The same meant in other words.
    pub unnamed: Count,
    /// Rows that the kind's own rules ended, and those of them that have the fault.
    pub by_its_rule: usize,
    /// Those of them that have it.
    pub rightly: usize,
}

impl Found {
    /// Share of the named faults that ended.
    pub fn recall_named(&self) -> Option<f64> {
        (self.named.made > 0).then(|| self.named.ended as f64 / self.named.made as f64)
    }

    /// Share of what the kind's rules ended that has the fault.
    pub fn precision(&self) -> Option<f64> {
        (self.by_its_rule > 0).then(|| self.rightly as f64 / self.by_its_rule as f64)
    }
}

/// The rules that are meant for a kind of fault.
fn rules_for(slip: Slip) -> &'static [Rule] {
    match slip {
        Slip::Leak => &[Rule::CopiedPrompt],
        Slip::NoGain => &[Rule::NoGain, Rule::Unchanged],
        Slip::Sorry => &[Rule::Sorry],
        Slip::EmptyWords => &[Rule::EmptyWords, Rule::NoAnswer],
        Slip::Wrong => &[],
    }
}

/// Counts the faults of an evolution whose evolver spoilt a share `error` of its rows.
pub fn found(rows: &[Row], error: f64) -> Vec<Found> {
    let by_id: BTreeMap<&str, &Row> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    Slip::ALL
        .into_iter()
        .map(|slip| {
            let mut found = Found {
                slip,
                name: slip.as_str(),
                named: Count::default(),
                unnamed: Count::default(),
                by_its_rule: 0,
                rightly: 0,
            };
            for row in rows.iter().filter(|row| row.round > 0) {
                let parent = row.parent.as_ref().and_then(|id| by_id.get(id.as_str()));
                let fault = fault(row, parent.copied(), slip, error);
                if let Some(named) = fault {
                    let count = if named { &mut found.named } else { &mut found.unnamed };
                    count.made += 1;
                    count.ended += usize::from(row.ended.is_some());
                }
                if row.ended.as_ref().is_some_and(|ended| rules_for(slip).contains(&ended.rule)) {
                    found.by_its_rule += 1;
                    found.rightly += usize::from(fault.is_some());
                }
            }
            found
        })
        .collect()
}

/// Whether a row has a fault of this kind, and if so whether in a form that rules name.
fn fault(row: &Row, parent: Option<&Row>, slip: Slip, error: f64) -> Option<bool> {
    if slip == Slip::NoGain {
        // Also where the evolver had nothing to add.
        let same = read(&row.instruction)?.1.asks_the_same(&read(&parent?.instruction)?.1);
        return same.then_some(true);
    }
    let task = if slip.is_of_answers() { Task::Answer } else { Task::Evolve };
    let seed = row.calls.iter().find(|call| call.task == task)?.seed;
    (slip_of(seed, error, slip.is_of_answers()) == Some(slip))
        .then(|| slip == Slip::Wrong || slip.is_named(seed))
}
