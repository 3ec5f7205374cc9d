//! From what was measured to the evidence for each claim of `papers/wizardcoder/claims.toml`; and the stop rule.

use std::collections::BTreeMap;

use camelid_recipe::claims::{Evidence, NamedDifference};
use camelid_recipe::evolved::{Arm, ArmRow, DRAWS, Measured, Score, Study, Tuned, in_words};

use super::{ROUNDS, SEEDS, UNIONS, design};
use crate::reproduce::evolved::{ByClaim, Own, Table};
use crate::reproduce::scale::Scale;

/// Which of the paper's claims are tested by what else.
const ELSEWHERE: &str = "Completions that were published can be run again without a model: `camelid eval score \
    humaneval|mbpp|humaneval-plus|mbpp-plus FILE --cut wizardcoder`; evol-teacher's file gives 51 of 164. The claims of \
    the scales \"published files\" and \"arithmetic\" (the comparisons with GPT-4, Table 5's rounds) are computed by \
    `cargo test -p camelid-tests --test wizard_claims`.";

/// What the stop rule's arm is called.
const STOPPED: Arm = Arm { name: "stopped", label: "the union that the development set chose", ..UNIONS[3] };

/// Evidence by claim id, and the recipe's own tables.
pub fn decide(study: &Study, measured: &Measured) -> anyhow::Result<(ByClaim, Own)> {
    let stops = stops(measured);
    let tuned = with_stopped(measured, &stops);
    let measured = &Measured { tuned: &tuned, ..*measured };
    let exam = &design(Scale::Nano).exams[0];
    let ran = measured.of(&STOPPED).next().is_some();
    let own = Own {
        derived: if ran { vec![ArmRow::of(&STOPPED, measured, exam)] } else { Vec::new() },
        part: "number of steps",
        plotted: [&SEEDS, &ROUNDS[0], &ROUNDS[3], &UNIONS[0], &UNIONS[3]].map(|arm| arm.name).to_vec(),
        tables: vec![stop_table(measured, &stops), heuristics_table(study)],
        shown: Some((SEEDS, UNIONS[3].clone())),
        elsewhere: ELSEWHERE,
    };
    Ok((by_claim(measured, &stops), own))
}

/// A claim without an entry was not measured.
fn by_claim(measured: &Measured, stops: &[Stop]) -> ByClaim {
    let [one, two, three, four] = &ROUNDS;
    let better = |pairs: &[(&Arm, &Arm)]| measured.better(pairs, Score::Greedy);
    let entries = [
        ("evolved-over-seeds", evolved(measured)),
        ("every-round", better(&[(two, one), (three, two), (four, three)])),
        ("rounds-peak", better(&[(one, four)])),
        ("stop-rule", stop_rule(measured, stops)),
        ("pass-at-8", measured.better(&[(one, &SEEDS), (&UNIONS[3], &SEEDS)], Score::Drawn(DRAWS))),
        ("tuning-works", tuning(measured)),
    ];
    entries.into_iter().filter_map(|(id, evidence)| Some((id, evidence?))).collect()
}

/// All that was measured, and once more under the rule's name what it kept.
fn with_stopped(measured: &Measured, stops: &[Stop]) -> Vec<Tuned> {
    let stopped: Vec<Tuned> = stops.iter().filter_map(|stop| stop.tuned(measured)).collect();
    [measured.tuned, &stopped].concat()
}

/// Round 1 over the seeds, greedily; with the difference on the longest programs.
fn evolved(measured: &Measured) -> Option<Evidence> {
    let one = &ROUNDS[0];
    let on = |steps: std::ops::RangeInclusive<usize>| {
        measured.between(one, &SEEDS, Score::Greedy, |item| steps.contains(&item.steps))
    };
    let note = format!(
        "On programs of two steps: {} points; of three to five: {}.",
        in_words(&on(2..=2)?),
        in_words(&on(3..=5)?)
    );
    Some(Evidence { note, ..measured.better(&[(one, &SEEDS)], Score::Greedy)? })
}

fn tuning(measured: &Measured) -> Option<Evidence> {
    let gain = NamedDifference::of(SEEDS.name, "untuned", measured.gain(&SEEDS, Score::Greedy)?);
    Some(Evidence { differences: vec![gain], ..Evidence::default() })
}

/// Where one seed's development scores say to stop.
struct Stop {
    seed: u64,
    /// Percent of the development set: the seeds, and the unions of 1, 2, … rounds.
    development: Vec<f64>,
    /// Rounds of the union that is kept.
    rounds: usize,
}

impl Stop {
    /// The arm of so many rounds.
    fn arm(rounds: usize) -> &'static Arm {
        if rounds == 0 { &SEEDS } else { &UNIONS[rounds - 1] }
    }

    /// What the chosen arm measured, under the rule's name.
    fn tuned(&self, measured: &Measured) -> Option<Tuned> {
        let chosen = measured.of(Self::arm(self.rounds)).find(|tuned| tuned.seed == self.seed)?;
        Some(Tuned { arm: STOPPED.name.to_owned(), ..chosen.clone() })
    }
}

/// The paper's rule for each seed: evolve on as long as the development set improves, and keep the union before the
/// round that does not. Only unions that were run count.
fn stops(measured: &Measured) -> Vec<Stop> {
    let development = &Measured { development: true, ..*measured };
    let stop = |of_seeds: &Tuned| {
        let score = |rounds: usize| {
            let arm = Stop::arm(rounds);
            let tuned = development.of(arm).find(|tuned| tuned.seed == of_seeds.seed)?;
            let scores = development.scores(arm, tuned, Score::Greedy, |_| true);
            Some(scores.iter().sum::<f64>() / scores.len().max(1) as f64)
        };
        let development: Vec<f64> = (0..=UNIONS.len()).map_while(score).collect();
        let improves = development.windows(2).take_while(|pair| pair[1] > pair[0]).count();
        Stop { seed: of_seeds.seed, development, rounds: improves }
    };
    development.of(&SEEDS).map(stop).collect()
}

/// What stopping gives over going on to the end, on the test set.
fn stop_rule(measured: &Measured, stops: &[Stop]) -> Option<Evidence> {
    let last = &UNIONS[3];
    let over_seeds = measured.between(&STOPPED, &SEEDS, Score::Greedy, |_| true)?;
    let rounds: Vec<String> = stops.iter().map(|stop| stop.rounds.to_string()).collect();
    let note = format!(
        "Rounds kept, by seed: {}. Stopped − seeds: {} points. Choosing by the test set itself, as the first version \
         did: {} points more than the rule.",
        rounds.join(", "),
        in_words(&over_seeds),
        by_the_test_itself(measured, stops)?
    );
    let evidence = measured.better(&[(&STOPPED, last)], Score::Greedy)?;
    let never = stops.iter().all(|stop| stop.rounds == UNIONS.len());
    let undecidable = never.then(|| "the development set never said to stop".to_owned());
    Some(Evidence { note, undecidable, ..evidence })
}

/// By how much the best of all arms of the rule, chosen on the test set, seems better than the rule's choice.
fn by_the_test_itself(measured: &Measured, stops: &[Stop]) -> Option<String> {
    let gain = |stop: &Stop| {
        let score = |arm: &Arm| {
            let tuned = measured.of(arm).find(|tuned| tuned.seed == stop.seed)?;
            let scores = measured.scores(arm, tuned, Score::Greedy, |_| true);
            Some(scores.iter().sum::<f64>() / scores.len() as f64)
        };
        let best = (0..stop.development.len()).filter_map(|rounds| score(Stop::arm(rounds)));
        Some(best.fold(f64::NEG_INFINITY, f64::max) - score(Stop::arm(stop.rounds))?)
    };
    let gains = stops.iter().map(gain).collect::<Option<Vec<f64>>>()?;
    Some(format!("{:.1}", gains.iter().sum::<f64>() / gains.len() as f64))
}

/// Development scores of every seed, and what was kept.
fn stop_table(measured: &Measured, stops: &[Stop]) -> Table {
    let header = ["seed", "seeds", "+ round 1", "+ 2", "+ 3", "+ 4", "rounds kept"];
    let row = |stop: &Stop| {
        let cell =
            |rounds: usize| stop.development.get(rounds).map_or("–".to_owned(), |s| format!("{s:.1}"));
        let mut cells = vec![stop.seed.to_string()];
        cells.extend((0..=UNIONS.len()).map(cell));
        cells.push(stop.rounds.to_string());
        cells
    };
    let items = measured.lineages.exam(SEEDS.exam);
    let count = items.iter().filter(|item| item.development).count();
    Table {
        title: "The stop rule".to_owned(),
        header: header.map(str::to_owned).to_vec(),
        rows: stops.iter().map(row).collect(),
        note: format!(
            "Percent of {count} development problems solved greedily, none of which is in the test set: evolution goes \
             on as long as it rises, and what stood before the round that did not is kept."
        ),
    }
}

/// What each heuristic made.
fn heuristics_table(study: &Study) -> Table {
    let rows = study.lineages.of("four-rounds");
    let by_id: BTreeMap<&str, _> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in rows {
        let parent = row.parent.as_deref().and_then(|id| by_id.get(id));
        let (Some(operator), Some(parent)) = (row.operator.as_deref(), parent) else { continue };
        let level = |text: &str| camelid_recipe::evolved::read(text).map(|(_, read)| read);
        let (Some(new), Some(old)) = (level(&row.instruction), level(&parent.instruction)) else { continue };
        let (made, changed) = counts.entry(operator).or_default();
        *made += 1;
        *changed += usize::from(!new.asks_the_same(&old));
    }
    Table {
        title: "The heuristics".to_owned(),
        header: ["heuristic", "made", "changed the problem"].map(str::to_owned).to_vec(),
        rows: counts
            .into_iter()
            .map(|(name, (made, changed))| vec![name.to_owned(), made.to_string(), changed.to_string()])
            .collect(),
        note: "In this world: constraints and reasoning add a step (at the end; before or between), rarer changes a \
               common step for a rarer one, misdirection quotes a wrong line as a hint, complexity asks for loops in \
               place of expressions. One that has nothing to change says the problem in other words; as in the \
               paper, nothing is eliminated."
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::evolved::tests::{self, tuned};

    fn decided(arms: &[(&Arm, [usize; 4])]) -> (BTreeMap<String, &'static str>, Vec<usize>) {
        let tuned: Vec<Tuned> = arms.iter().flat_map(|(arm, right)| tuned(arm, right)).collect();
        let rounds = std::cell::RefCell::new(Vec::new());
        let decide = |measured: &Measured| {
            let stops = stops(measured);
            rounds.borrow_mut().extend(stops.iter().map(|stop| stop.rounds));
            let tuned = with_stopped(measured, &stops);
            by_claim(&Measured { tuned: &tuned, ..*measured }, &stops)
        };
        let found = tests::verdicts("wizardcoder", SEEDS.exam, super::super::STEPS, &tuned, decide);
        (found, rounds.into_inner())
    }

    #[test]
    fn evolution_stops_before_the_round_that_does_not_improve_the_development_set() {
        let unions = [[50, 40, 20, 10], [60, 50, 40, 30], [50, 50, 30, 20], [30, 30, 20, 10]];
        let mut arms = vec![(&SEEDS, [40, 20, 10, 0])];
        arms.extend(UNIONS.iter().zip(unions));
        let rounds = [[60, 40, 20, 10], [50, 30, 20, 10], [40, 20, 20, 10], [20, 10, 10, 10]];
        arms.extend(ROUNDS.iter().zip(rounds));
        let (found, stopped) = decided(&arms);
        assert_eq!(stopped, [2; 3]);
        for id in ["stop-rule", "evolved-over-seeds", "rounds-peak", "tuning-works", "pass-at-8"] {
            assert_eq!(found[id], "held in direction", "{id}");
        }
        assert_eq!((found["every-round"], found.len()), ("refuted here", 6));
    }

    #[test]
    fn a_rule_that_never_stops_decides_nothing_and_a_late_fall_is_not_foreseen() {
        let rising = [[50, 40, 20, 10], [60, 50, 40, 30], [70, 60, 50, 40], [80, 70, 60, 50]];
        let mut arms = vec![(&SEEDS, [40, 20, 10, 0])];
        arms.extend(UNIONS.iter().zip(rising));
        let (found, stopped) = decided(&arms);
        assert_eq!((stopped, found["stop-rule"]), (vec![4; 3], "not testable at this scale"));
        // Without a gain in the first round nothing is evolved, however good a later union is.
        arms[1].1 = [40, 20, 10, 0];
        let (found, stopped) = decided(&arms);
        assert_eq!((stopped, found["stop-rule"]), (vec![0; 3], "refuted here"));
    }
}
