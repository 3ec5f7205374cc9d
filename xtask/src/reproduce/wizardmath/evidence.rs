//! From what was measured to the evidence for each claim of `papers/wizardmath/claims.toml`, and to the tables of
//! steps.

use camelid_data::nano::{CheckedAnswer, StepVerdict};
use camelid_recipe::claims::{Evidence, NamedDifference};
use camelid_recipe::evolved::{Arm, DRAWS, Measured, Score, Study, checked, in_words};

use super::{BOTH, DOWN, SEEDS, STEPS, UNCHECKED, UP};
use crate::reproduce::evolved::{ByClaim, Own, Table, rounds_table};

/// Which of the paper's claims are tested by what else.
const ELSEWHERE: &str = "What WizardMath and ToRA published can be scored again without a model: `camelid eval score \
    gsm8k FILE --like wizardmath|tora` and `camelid eval score math FILE`. The claims of the scales \"published files\" \
    and \"arithmetic\" (WizardMath-70B's topics, Table 6's margins, ToRA's answers strictly and leniently) are \
    computed by `cargo test -p camelid-tests --test wizard_claims`.";

/// Evidence by claim id, and the recipe's own tables.
pub fn decide(study: &Study, measured: &Measured) -> anyhow::Result<(ByClaim, Own)> {
    let down = "Two rounds. A row that ended leaves its parent to be tried again.";
    let up = "Three rounds. Rules do not find wrong answers: the step checker does, in the table below.";
    let own = Own {
        part: "number of steps",
        tables: vec![
            steps_table(study, measured),
            rounds_table(study, "Downward evolution", "down", down),
            rounds_table(study, "Upward evolution", "up", up),
            checked_table(study),
        ],
        shown: Some((SEEDS, BOTH)),
        elsewhere: ELSEWHERE,
        ..Own::default()
    };
    Ok((by_claim(measured), own))
}

/// A claim without an entry was not measured.
fn by_claim(measured: &Measured) -> ByClaim {
    let better = |pairs: &[(&Arm, &Arm)]| measured.better(pairs, Score::Greedy);
    let entries = [
        ("both-over-either", by_steps(measured, better(&[(&BOTH, &DOWN), (&BOTH, &UP)]))),
        ("evolved-over-seeds", better(&[(&DOWN, &SEEDS), (&UP, &SEEDS), (&BOTH, &SEEDS)])),
        ("up-over-down", better(&[(&UP, &DOWN)])),
        ("checked-answers", better(&[(&BOTH, &UNCHECKED)])),
        ("diversity-kept", measured.better(&[(&BOTH, &SEEDS)], Score::Drawn(DRAWS))),
        ("tuning-works", tuning(measured)),
    ];
    entries.into_iter().filter_map(|(id, evidence)| Some((id, evidence?))).collect()
}

/// The same evidence with what both reach over either on the shortest and on the longest sums.
fn by_steps(measured: &Measured, evidence: Option<Evidence>) -> Option<Evidence> {
    let on = |right: &Arm, steps: usize| {
        let difference = measured.between(&BOTH, right, Score::Greedy, |item| item.steps == steps)?;
        Some(format!("both − {} on sums of {steps}: {}", right.name, in_words(&difference)))
    };
    let parts: Option<Vec<String>> =
        [&DOWN, &UP].iter().flat_map(|arm| [on(arm, 1), on(arm, STEPS)]).collect();
    Some(Evidence { note: format!("{} points.", parts?.join("; ")), ..evidence? })
}

fn tuning(measured: &Measured) -> Option<Evidence> {
    let gain = NamedDifference::of(BOTH.name, "untuned", measured.gain(&BOTH, Score::Greedy)?);
    Some(Evidence { differences: vec![gain], ..Evidence::default() })
}

/// What the first wrong step of an answer is.
#[derive(Default)]
struct FirstErrors {
    answers: usize,
    right: usize,
    wrong_result: usize,
    wrong_step: usize,
    stops_early: usize,
    goes_on: usize,
    steps: usize,
    sound: usize,
}

impl FirstErrors {
    fn add(&mut self, answer: &CheckedAnswer) {
        self.answers += 1;
        self.steps += answer.steps.len() + answer.missing;
        self.sound += answer.labels().iter().filter(|label| **label).count();
        let first = answer.first_error().map(|at| answer.steps.get(at).map(|step| step.verdict));
        let counted = match first {
            None => &mut self.right,
            Some(None) => &mut self.stops_early,
            Some(Some(StepVerdict::WrongResult)) => &mut self.wrong_result,
            Some(Some(StepVerdict::Surplus)) => &mut self.goes_on,
            Some(Some(_)) => &mut self.wrong_step,
        };
        *counted += 1;
    }

    fn cells(&self, name: &str) -> Vec<String> {
        let percent = |part: usize, of: usize| format!("{:.1}", 100.0 * part as f64 / of.max(1) as f64);
        let counts = [self.right, self.wrong_result, self.wrong_step, self.stops_early, self.goes_on];
        let mut cells = vec![name.to_owned()];
        cells.extend(counts.map(|count| percent(count, self.answers)));
        cells.push(percent(self.sound, self.steps));
        cells
    }
}

const HEADER: [&str; 7] = [
    "of each hundred answers",
    "right",
    "wrong result",
    "wrong step",
    "stops early",
    "goes on",
    "steps right, %",
];

/// Where the greedy answers of the first seed go wrong, by the step checker.
fn steps_table(study: &Study, measured: &Measured) -> Table {
    let row = |arm: &Arm| {
        let mut errors = FirstErrors::default();
        let answers = measured.of(arm).next().map_or(&[][..], |tuned| &tuned.samples);
        for (item, answer) in study.answered(arm.exam).zip(answers) {
            checked(&study.nano.world, &item.instruction, answer)
                .iter()
                .for_each(|answer| errors.add(answer));
        }
        errors.cells(arm.name)
    };
    Table {
        title: "Where answers go wrong".to_owned(),
        header: HEADER.map(str::to_owned).to_vec(),
        rows: measured.arms.iter().map(row).collect(),
        note: "Greedy answers of the first seed to the whole exam, by their first wrong step; the step checker of the \
               world is exact (`Instruction::checked`). Steps right: of all steps that are asked for, those before \
               the first wrong one."
            .to_owned(),
    }
}

/// What the step checker finds among the rows that no rule has ended.
fn checked_table(study: &Study) -> Table {
    let row = |name: &&str| {
        let mut errors = FirstErrors::default();
        for row in study.lineages.of(name).iter().filter(|row| row.round > 0 && row.lives()) {
            let answer = row.response.as_deref().unwrap_or_default();
            checked(&study.nano.world, &row.instruction, answer).iter().for_each(|answer| errors.add(answer));
        }
        errors.cells(name)
    };
    Table {
        title: "What the step checker finds in the evolved rows".to_owned(),
        header: HEADER.map(str::to_owned).to_vec(),
        rows: ["down", "up"].iter().map(row).collect(),
        note: "Rows that no rule of elimination has ended. Arms are tuned on the right ones alone, but for \
               both-unchecked."
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reproduce::evolved::tests::{self, tuned};

    fn verdicts(arms: &[(&Arm, [usize; 5])]) -> std::collections::BTreeMap<String, &'static str> {
        let tuned: Vec<_> = arms.iter().flat_map(|(arm, right)| tuned(arm, right)).collect();
        tests::verdicts("wizardmath", BOTH.exam, 1..=STEPS, &tuned, by_claim)
    }

    #[test]
    fn each_claim_asks_for_the_papers_sign() {
        let found = verdicts(&[
            (&SEEDS, [0, 50, 50, 0, 0]),
            (&DOWN, [80, 60, 60, 10, 0]),
            (&UP, [60, 70, 70, 60, 50]),
            (&BOTH, [90, 90, 80, 80, 70]),
            (&UNCHECKED, [70, 60, 60, 50, 40]),
        ]);
        for id in ["both-over-either", "evolved-over-seeds", "up-over-down", "checked-answers"] {
            assert_eq!(found[id], "held in direction", "{id}");
        }
        assert_eq!(
            (found["diversity-kept"], found["tuning-works"]),
            ("held in direction", "held in direction")
        );
        assert_eq!(found.len(), 6);
    }

    #[test]
    fn the_opposite_is_refuted_and_a_gain_over_one_direction_alone_is_not_held() {
        let found = verdicts(&[
            (&SEEDS, [50, 80, 80, 30, 20]),
            (&DOWN, [90, 90, 90, 60, 40]),
            (&UP, [0, 20, 20, 20, 20]),
            (&BOTH, [90, 90, 90, 60, 40]),
        ]);
        assert_eq!(found["both-over-either"], "not testable at this scale");
        assert_eq!((found["evolved-over-seeds"], found["up-over-down"]), ("refuted here", "refuted here"));
        assert_eq!(found["checked-answers"], "not testable at this scale");
    }

    #[test]
    fn answers_are_counted_by_their_first_wrong_step() {
        let world = camelid_data::nano::NanoWorld::new(&camelid_data::nano::NanoConfig {
            instructions: true,
            ..Default::default()
        });
        let (world, mut errors) = (world.unwrap(), FirstErrors::default());
        for answer in
            ["3 + 4 = 7. 7 - 2 = 5.", "3 + 4 = 8. 8 - 2 = 6.", "3 + 4 = 7.", "4 - 2 = 2. 7 - 2 = 5.", ""]
        {
            errors.add(&checked(&world, "What is 3 + 4 - 2?", answer).unwrap());
        }
        // Right, a wrong result, two that stop early, one that does something else; three of ten steps are sound.
        assert_eq!(errors.cells("x"), ["x", "20.0", "20.0", "20.0", "40.0", "0.0", "30.0"]);
    }
}
