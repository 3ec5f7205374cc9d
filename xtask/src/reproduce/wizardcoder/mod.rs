//! WizardCoder: small programs evolved by the five heuristics, round after round; one base, pre-trained on programs, is
//! tuned on as many rows of the seeds, of each round alone and of the unions of rounds; a development set says after
//! which round to stop. Programs are written and run; pass@1 is greedy, pass@8 estimated from twelve drawn ones.

mod evidence;

use camelid_data::nano::Domain;
use camelid_evolve::Mix;
use camelid_recipe::evolved::{Arm, Begins, Design, Exam, Part, Plan, Size, Sizes};

use super::Ending;
use super::evolved::{self, Recipe};
use super::scale::Scale;
use super::tuning::TuningArguments;

/// Runs the recipe, or one part of it.
pub fn reproduce(arguments: &TuningArguments) -> anyhow::Result<Ending> {
    let recipe = Recipe {
        name: "wizardcoder",
        design,
        exam: Domain::Programs,
        arms: every_arm,
        default: every_arm,
        checked: || [&[SEEDS][..], &ROUNDS[..1], &UNIONS[..2]].concat(),
        seeds: 3,
    };
    evolved::reproduce(&recipe, evidence::decide, arguments)
}

fn every_arm() -> Vec<Arm> {
    [&[SEEDS][..], &ROUNDS, &UNIONS].concat()
}

/// Steps of the exam's programs: there are too few of one step to hold any out.
const STEPS: std::ops::RangeInclusive<usize> = 2..=5;

/// One and two steps, evolved for four rounds by all five heuristics. The paper reports no elimination: none is done.
const EVOLUTION: Plan = Plan {
    name: "four-rounds",
    domain: Domain::Programs,
    begins: Begins::Evolved,
    rounds: 4,
    operators: &[],
    error: 0.0,
    eliminates: false,
};
/// Its first rounds are those of the shorter ones, row for row.
const PLANS: [Plan; 4] = [
    Plan { name: "one-round", rounds: 1, ..EVOLUTION },
    Plan { name: "two-rounds", rounds: 2, ..EVOLUTION },
    Plan { name: "three-rounds", rounds: 3, ..EVOLUTION },
    EVOLUTION,
];
/// Held-out problems with more steps, without hints or demands: a fixed test, as HumanEval is, and no evolved one.
const OF_EXAM: [Plan; 1] = [Plan {
    name: "exam",
    begins: Begins::HeldOut,
    rounds: 4,
    operators: &["constraints", "reasoning"],
    ..EVOLUTION
}];

fn design(scale: Scale) -> Design {
    let (sizes, of_each, development) = match scale {
        Scale::Check => (Sizes { first: 60, evolved: 40, held_out: 60, rows: 24 }, 5, 2),
        _ => (Sizes { first: 1000, evolved: 1000, held_out: 300, rows: 800 }, 50, 25),
    };
    let exam = Exam {
        domain: Domain::Programs,
        plans: &OF_EXAM,
        by: Part::Length,
        parts: STEPS,
        of_each,
        development,
    };
    Design {
        recipe: "wizardcoder 1",
        plans: &PLANS,
        exams: vec![exam],
        sizes,
        measured: &["four-rounds"],
        answered: 10,
    }
}

/// The problems that evolution begins with.
pub const SEEDS: Arm = Arm {
    name: "seeds",
    label: "first problems alone",
    lineages: &["four-rounds"],
    mix: Mix::Round(0),
    checked: false,
    size: Size::Rows,
    exam: Domain::Programs,
    rows_a_step: 0,
};
/// One round alone, by its number less one.
pub const ROUNDS: [Arm; 4] = [
    Arm { name: "round-1", label: "round 1 alone", mix: Mix::Round(1), ..SEEDS },
    Arm { name: "round-2", label: "round 2 alone", mix: Mix::Round(2), ..SEEDS },
    Arm { name: "round-3", label: "round 3 alone", mix: Mix::Round(3), ..SEEDS },
    Arm { name: "round-4", label: "round 4 alone", mix: Mix::Round(4), ..SEEDS },
];
const UNION: Arm = Arm { mix: Mix::All, ..SEEDS };
/// First problems and the rounds up to one, by its number less one; as many rows as every other arm.
pub const UNIONS: [Arm; 4] = [
    Arm { name: "union-1", label: "first problems and round 1", lineages: &["one-round"], ..UNION },
    Arm { name: "union-2", label: "first problems and rounds 1–2", lineages: &["two-rounds"], ..UNION },
    Arm { name: "union-3", label: "first problems and rounds 1–3", lineages: &["three-rounds"], ..UNION },
    Arm { name: "union-4", label: "first problems and rounds 1–4", ..UNION },
];
