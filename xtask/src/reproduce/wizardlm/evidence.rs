//! From what was measured to the evidence for each claim of `papers/wizardlm/claims.toml`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use camelid_data::nano::{Domain, Slip};
use camelid_evolve::{EvolveReport, Passed, Rule};
use camelid_recipe::claims::{Evidence, ExactFigure, Figure, NamedDifference};
use camelid_recipe::evolved::{Arm, DRAWS, Found, Measured, Score, found, in_words};

use super::arms::{
    BOTH, BREADTH, DEPTH, DOWN, ELIMINATED, LAST_TOKENS, MIX, OTHER_ERRORS, RAW, ROUNDS, SEEDS, SEEDS_TOKENS,
    UP,
};
use super::plans;

/// Why the world's own pass rate decides nothing.
const OWN_EVOLVER: &str = "it is the pass rate of the world's own evolver, which fails where the world has nothing \
                           to add; only a real evolver bears on the claim";

/// Evidence by claim id; a claim without an entry was not measured.
pub fn by_claim(measured: &Measured) -> BTreeMap<&'static str, Evidence> {
    let better = |pairs: &[(&Arm, &Arm)]| measured.better(pairs, Score::Greedy);
    let entries = [
        ("evolved-over-seeds", evolved_over_seeds(measured)),
        ("more-rounds", more_rounds(measured)),
        ("rounds-peak", rounds_peak(measured)),
        ("difficulty-rises", difficulty_rises(measured)),
        ("increments-shrink", increments_shrink(measured)),
        ("mixture-over-last", better(&[(&MIX, &LAST_TOKENS)])),
        ("eliminator-helps", eliminator_helps(measured)),
        ("rules-find-what-they-name", rules(measured)),
        ("depth-and-breadth", depth_and_breadth(measured)),
        ("pass-rate", pass_rate(measured)),
        ("down-and-up", better(&[(&BOTH, &DOWN), (&BOTH, &UP)])),
        ("diversity-kept", measured.better(&[(&MIX, &SEEDS), (&MIX, &SEEDS_TOKENS)], Score::Drawn(DRAWS))),
        ("tuning-works", tuning(measured)),
    ];
    entries.into_iter().filter_map(|(id, evidence)| Some((id, evidence?))).collect()
}

fn evolved_over_seeds(measured: &Measured) -> Option<Evidence> {
    let by_rounds = |name: &str, right: &Arm, rounds: RangeInclusive<usize>| {
        let on = measured.between(&MIX, right, Score::Greedy, |item| rounds.contains(&item.round))?;
        Some(format!("{name}, mix − {}: {}", right.name, in_words(&on)))
    };
    let note = [
        by_rounds("On first instructions alone", &SEEDS, 0..=0)?,
        by_rounds("on first instructions alone", &SEEDS_TOKENS, 0..=0)?,
        by_rounds("on evolved ones", &SEEDS, 1..=plans::ROUNDS)?,
        by_rounds("on evolved ones", &SEEDS_TOKENS, 1..=plans::ROUNDS)?,
    ];
    let evidence = measured.better(&[(&MIX, &SEEDS), (&MIX, &SEEDS_TOKENS)], Score::Greedy)?;
    Some(Evidence { note: format!("{} points.", note.join("; ")), ..evidence })
}

fn more_rounds(measured: &Measured) -> Option<Evidence> {
    let [one, two, three, four] = &ROUNDS;
    // The slope of a straight line through the five scores.
    let line = [(-0.2, &SEEDS), (-0.1, one), (0.0, two), (0.1, three), (0.2, four)];
    let slope = measured.weighted(&line, Score::Greedy)?;
    // What never falls has not fallen from the first round to the last either.
    let pairs = [(one, &SEEDS), (two, one), (three, two), (four, three), (four, one)];
    let note = format!("A line through the five scores rises by {} points a round.", in_words(&slope));
    Some(Evidence { note, ..measured.better(&pairs, Score::Greedy)? })
}

/// By the evolver that spoils a fifth; where `--all` ran the others, what they say stands beside it.
fn eliminator_helps(measured: &Measured) -> Option<Evidence> {
    let [clean_5, raw_5, clean_50, raw_50] = &OTHER_ERRORS;
    let at = |(percent, clean, raw): (usize, &Arm, &Arm)| {
        let gain = measured.between(clean, raw, Score::Greedy, |_| true)?;
        Some(format!("At {percent} % spoilt {} points.", in_words(&gain)))
    };
    let others: Vec<String> =
        [(5, clean_5, raw_5), (50, clean_50, raw_50)].into_iter().filter_map(at).collect();
    Some(Evidence { note: others.join(" "), ..measured.better(&[(&ELIMINATED, &RAW)], Score::Greedy)? })
}

fn rounds_peak(measured: &Measured) -> Option<Evidence> {
    let [first, _, third, last] = &ROUNDS;
    let late = measured.between(third, last, Score::Greedy, |_| true)?;
    let note = format!("Round 3 − round 4: {} points.", in_words(&late));
    Some(Evidence { note, ..measured.better(&[(first, last)], Score::Greedy)? })
}

fn difficulty_rises(measured: &Measured) -> Option<Evidence> {
    let step = |round: usize| {
        let difference = measured.errors(&MIX, &[(round + 1, 1.0), (round, -1.0)])?;
        Some(NamedDifference { name: format!("error in round {} − {round}", round + 1), difference })
    };
    let rounds = 0..=plans::ROUNDS;
    let error = |student: &Arm, round: usize| Some(measured.errors(student, &[(round, 1.0)])?.mean);
    let figure =
        |round: usize| Some(Figure::of(&format!("error in round {round}"), error(&MIX, round)?, "%"));
    let of_seeds = rounds.clone().map(|round| Some(format!("{:.1}", error(&SEEDS, round)?)));
    let levels = rounds.clone().map(|round| format!("{:.2}", measured.level(Domain::General, round)));
    Some(Evidence {
        note: format!(
            "Mean level of the instructions by the world's own count: {}. Errors of the model tuned on first \
             instructions alone: {} %; it has next to none to add in the last rounds.",
            levels.collect::<Vec<_>>().join(", "),
            of_seeds.collect::<Option<Vec<_>>>()?.join(", ")
        ),
        figures: rounds.map(figure).collect::<Option<_>>()?,
        differences: (0..plans::ROUNDS).map(step).collect::<Option<_>>()?,
        ..Evidence::default()
    })
}

fn increments_shrink(measured: &Measured) -> Option<Evidence> {
    let weights = [(1, 1.0), (0, -1.0), (4, -1.0), (3, 1.0)];
    let level = |round| measured.level(Domain::General, round);
    let levels = (0..plans::ROUNDS).map(|round| format!("{:.2}", level(round + 1) - level(round)));
    let name = "first increment of the error − last".to_owned();
    Some(Evidence {
        differences: vec![NamedDifference { name, difference: measured.errors(&MIX, &weights)? }],
        note: format!(
            "Increments of the level by the world's own count: {}. By the errors of the model tuned on first \
             instructions alone: {} points, which come of its having no room above.",
            levels.collect::<Vec<_>>().join(", "),
            in_words(&measured.errors(&SEEDS, &weights)?)
        ),
        ..Evidence::default()
    })
}

fn depth_and_breadth(measured: &Measured) -> Option<Evidence> {
    let depth = measured.between(&DEPTH, &BREADTH, Score::Greedy, |_| true)?;
    let easy = measured.between(&DEPTH, &BREADTH, Score::Greedy, |item| item.round == 0)?;
    let note = format!(
        "Depth − breadth: {} points, on first instructions alone {}.",
        in_words(&depth),
        in_words(&easy)
    );
    Some(Evidence { note, ..measured.better(&[(&MIX, &DEPTH), (&MIX, &BREADTH)], Score::Greedy)? })
}

/// At 20 % of rows spoilt: of each fault that a rule of the paper names, how much it found, and how much of what it
/// ended was at fault.
fn rules(measured: &Measured) -> Option<Evidence> {
    let found = found(measured.lineages.of("faulty-20"), 0.2);
    let exact = |of: &Found| {
        let figure = |what: &str, measured| {
            let name = format!("{}, {what}", of.slip.as_str());
            ExactFigure { name, measured, expected: 1.0 }
        };
        Some([figure("recall", of.recall_named()?), figure("precision", of.precision()?)])
    };
    let named = found.iter().filter(|of| of.slip != Slip::Wrong);
    let missed: usize = found.iter().map(|of| of.unnamed.made - of.unnamed.ended).sum();
    let unnamed: usize = found.iter().map(|of| of.unnamed.made).sum();
    let wrong = found.iter().find(|of| of.slip == Slip::Wrong)?.named;
    Some(Evidence {
        exact: named.map(exact).collect::<Option<Vec<_>>>()?.concat(),
        note: format!(
            "What the rules do not name they do not find: {missed} of {unnamed} faults worded otherwise and {} of {} \
             wrong answers live on.",
            wrong.made - wrong.ended,
            wrong.made
        ),
        ..Evidence::default()
    })
}

fn pass_rate(measured: &Measured) -> Option<Evidence> {
    pass_rate_of(&EvolveReport::new(measured.lineages.of("evolved")), Some(OWN_EVOLVER))
}

/// The share that rule 1 lets through in round 1, and what lives of every round.
pub fn pass_rate_of(report: &EvolveReport, undecidable: Option<&str>) -> Option<Evidence> {
    let first = report.rounds.get(&1)?;
    let measured = 1.0 - ended(first, &[Rule::NoGain, Rule::Unchanged]) as f64 / first.made as f64;
    let figure = |(round, passed): (&usize, &Passed)| {
        let share = 100.0 * passed.lives as f64 / passed.made as f64;
        Figure::of(&format!("of round {round}, alive"), share, "%")
    };
    let name = "share that passes rule 1 in round 1".into();
    Some(Evidence {
        figures: report.rounds.iter().filter(|(round, _)| **round > 0).map(figure).collect(),
        exact: vec![ExactFigure { name, measured, expected: 0.5 }],
        undecidable: undecidable.map(str::to_owned),
        ..Evidence::default()
    })
}

/// How many rows some rules ended.
pub fn ended(passed: &Passed, rules: &[Rule]) -> usize {
    rules.iter().filter_map(|rule| passed.ended.get(rule)).sum()
}

fn tuning(measured: &Measured) -> Option<Evidence> {
    let difference = measured.gain(&MIX, Score::Greedy)?;
    let differences = vec![NamedDifference::of(MIX.name, "untuned", difference)];
    Some(Evidence { differences, ..Evidence::default() })
}

#[cfg(test)]
mod tests {
    use camelid_recipe::evolved::{Item, Lineages, Mark, Tuned};

    use super::*;
    use crate::reproduce::evolved::tests::{ITEMS, decided, tuned};

    /// Forty instructions of each round, and forty sums of each level.
    fn lineages() -> Lineages {
        let items = |at: usize, of_sums: bool| {
            (0..ITEMS).map(move |i| Item {
                round: at,
                level: at + usize::from(of_sums),
                steps: 0,
                development: false,
                instruction: format!("{at} {i}"),
                answer: String::new(),
            })
        };
        let exam = (0..=plans::ROUNDS).flat_map(|round| items(round, false)).collect();
        let sums = (0..5).flat_map(|level| items(level, true)).collect();
        Lineages::of_exams(vec![(Domain::General, exam), (Domain::Arithmetic, sums)])
    }

    fn verdicts(arms: &[(&Arm, [usize; 5])]) -> BTreeMap<String, &'static str> {
        let lineages = lineages();
        let tuned: Vec<Tuned> = arms.iter().flat_map(|(arm, right)| tuned(arm, right)).collect();
        let wrong = Mark { right: false, probability: 0.0, drawn: None };
        let untuned = vec![wrong; lineages.exam(Domain::General).len()];
        let measured =
            Measured { lineages: &lineages, untuned: &untuned, tuned: &tuned, arms: &[], development: false };
        decided("wizardlm", &by_claim(&measured))
    }

    #[test]
    fn each_claim_asks_for_the_papers_sign() {
        let found = verdicts(&[
            (&MIX, [80, 80, 70, 60, 60]),
            (&SEEDS, [80, 20, 10, 5, 0]),
            (&SEEDS_TOKENS, [80, 30, 10, 5, 5]),
            (&ROUNDS[0], [60, 60, 20, 20, 10]),
            (&ROUNDS[1], [60, 60, 40, 40, 30]),
            (&ROUNDS[2], [60, 60, 60, 60, 50]),
            (&ROUNDS[3], [80, 80, 80, 80, 70]),
            (&LAST_TOKENS, [20, 40, 40, 40, 40]),
            (&DEPTH, [20, 60, 50, 40, 40]),
            (&BREADTH, [80, 30, 10, 5, 5]),
            (&ELIMINATED, [80, 70, 60, 50, 50]),
            (&RAW, [50, 40, 30, 20, 20]),
            (&BOTH, [90, 80, 70, 60, 50]),
            (&DOWN, [90, 60, 30, 10, 0]),
            (&UP, [0, 50, 60, 50, 40]),
        ]);
        for id in [
            "evolved-over-seeds",
            "more-rounds",
            "mixture-over-last",
            "eliminator-helps",
            "depth-and-breadth",
        ] {
            assert_eq!(found[id], "held in direction", "{id}");
        }
        for id in ["down-and-up", "diversity-kept", "tuning-works"] {
            assert_eq!(found[id], "held in direction", "{id}");
        }
        assert_eq!(found["rounds-peak"], "refuted here");
        // Two rounds of the mixture are alike.
        assert_eq!(found["difficulty-rises"], "not testable at this scale");
        // No evolution was run.
        assert_eq!(found["rules-find-what-they-name"], "not testable at this scale");
        assert_eq!(found.len(), 13);
    }

    #[test]
    fn the_opposite_is_refuted_and_a_gain_in_one_control_alone_is_not_held() {
        let found = verdicts(&[
            (&MIX, [60, 50, 30, 30, 30]),
            (&SEEDS, [60, 20, 10, 5, 0]),
            (&SEEDS_TOKENS, [60, 50, 30, 30, 30]),
            (&ROUNDS[0], [60, 60, 60, 60, 60]),
            (&ROUNDS[2], [40, 40, 40, 40, 40]),
            (&ROUNDS[3], [20, 20, 20, 20, 20]),
            (&ELIMINATED, [20, 20, 20, 20, 20]),
            (&RAW, [60, 60, 60, 60, 60]),
        ]);
        assert_eq!(found["evolved-over-seeds"], "not testable at this scale");
        assert_eq!(found["eliminator-helps"], "refuted here");
        assert_eq!(found["rounds-peak"], "held in direction");
        assert_eq!(found["mixture-over-last"], "not testable at this scale");
    }
}
