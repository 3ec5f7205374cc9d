//! WizardMath's supervised half: sums of two and three steps evolved downward, upward and both ways by a model of the
//! world that goes wrong in a fifth of its rows; what it answers is checked step by step, and one base is tuned on as
//! many rows of each. Measured on held-out sums of one to five steps, with a verdict for each claim.

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
        name: "wizardmath",
        design,
        exam: Domain::Arithmetic,
        arms: every_arm,
        default: every_arm,
        checked: || vec![SEEDS, BOTH],
        seeds: 5,
    };
    evolved::reproduce(&recipe, evidence::decide, arguments)
}

fn every_arm() -> Vec<Arm> {
    vec![SEEDS, DOWN, UP, BOTH, UNCHECKED]
}

/// Steps of the longest sum of the exam.
const STEPS: usize = 5;

/// Sums of two or three steps. The evolver spoils a fifth of its rows: prompt leaks, nothing gained, apologies, empty
/// words and wrong answers, a fifth of them each. Rules end what they name; the step checker finds the wrong answers.
const EVOLUTION: Plan = Plan {
    name: "down",
    domain: Domain::Arithmetic,
    begins: Begins::Evolved,
    rounds: 2,
    operators: &["simpler", "easier_topic"],
    error: 0.2,
    eliminates: true,
};
/// Two rounds down and three up, as in the paper.
const PLANS: [Plan; 2] = [
    EVOLUTION,
    // The world sets no sum of several steps in a particular situation.
    Plan { name: "up", rounds: 3, operators: &["constraints", "reasoning"], ..EVOLUTION },
];
/// The exam's own, of held-out sums and without errors.
const OF_EXAM: [Plan; 2] = [
    Plan { name: "exam-down", begins: Begins::HeldOut, error: 0.0, ..PLANS[0] },
    Plan { name: "exam-up", begins: Begins::HeldOut, error: 0.0, rounds: 4, ..PLANS[1] },
];

fn design(scale: Scale) -> Design {
    let (sizes, of_each) = match scale {
        Scale::Check => (Sizes { first: 60, evolved: 60, held_out: 40, rows: 24 }, 4),
        _ => (Sizes { first: 1600, evolved: 1600, held_out: 240, rows: 1500 }, 60),
    };
    let exam = Exam {
        domain: Domain::Arithmetic,
        plans: &OF_EXAM,
        by: Part::Length,
        parts: 1..=STEPS,
        of_each,
        development: 0,
    };
    // Every answer of the first seed is kept, so that its steps can be checked.
    let answered = STEPS * of_each;
    Design {
        recipe: "wizardmath 1",
        plans: &PLANS,
        exams: vec![exam],
        sizes,
        measured: &["down", "up"],
        answered,
    }
}

/// First sums, with easier and harder ones. Comparisons are against this arm.
pub const BOTH: Arm = Arm {
    name: "both",
    label: "first sums, easier and harder ones",
    lineages: &["down", "up"],
    mix: Mix::All,
    checked: true,
    size: Size::Rows,
    exam: Domain::Arithmetic,
    rows_a_step: 0,
};
/// First sums alone.
pub const SEEDS: Arm = Arm { name: "seeds", label: "first sums alone", mix: Mix::Round(0), ..BOTH };
/// First sums with easier ones.
pub const DOWN: Arm = Arm { name: "down", label: "first sums and easier ones", lineages: &["down"], ..BOTH };
/// First sums with harder ones.
pub const UP: Arm = Arm { name: "up", label: "first sums and harder ones", lineages: &["up"], ..BOTH };
/// Both, wrong answers included.
pub const UNCHECKED: Arm =
    Arm { name: "both-unchecked", label: "the same as both, wrong answers left in", checked: false, ..BOTH };
