//! The evolutions of the recipe, its exams, and how much of everything there is.

use camelid_data::nano::Domain;
use camelid_recipe::evolved::{Begins, Design, Exam, Part, Plan, Sizes};

use crate::reproduce::scale::Scale;

/// Rounds, as in the paper.
pub const ROUNDS: usize = 4;
/// Levels of sums.
const LEVELS: usize = 5;

const EVOLUTION: Plan = Plan {
    name: "evolved",
    domain: Domain::General,
    begins: Begins::Evolved,
    rounds: ROUNDS,
    operators: &[],
    error: 0.0,
    eliminates: true,
};
const DEPTH: &[&str] = &["constraints", "deepening", "concretizing", "reasoning", "complicate_input"];
const ARITHMETIC: Plan = Plan { domain: Domain::Arithmetic, rounds: 2, ..EVOLUTION };
// The world sets no sum of several steps in a particular situation.
const UP: &[&str] = &["constraints", "reasoning"];
const DOWN: &[&str] = &["simpler", "easier_topic"];

/// Those that arms are tuned on, and those that only the rules are measured by.
const PLANS: [Plan; 12] = [
    EVOLUTION,
    Plan { name: "first", begins: Begins::First, rounds: 0, ..EVOLUTION },
    Plan { name: "depth", operators: DEPTH, ..EVOLUTION },
    Plan { name: "breadth", operators: &["breadth"], ..EVOLUTION },
    Plan { name: "faulty-5", error: 0.05, ..EVOLUTION },
    Plan { name: "faulty-20", error: 0.2, ..EVOLUTION },
    Plan { name: "faulty-50", error: 0.5, ..EVOLUTION },
    Plan { name: "raw-5", error: 0.05, eliminates: false, ..EVOLUTION },
    Plan { name: "raw-20", error: 0.2, eliminates: false, ..EVOLUTION },
    Plan { name: "raw-50", error: 0.5, eliminates: false, ..EVOLUTION },
    Plan { name: "down", operators: DOWN, ..ARITHMETIC },
    Plan { name: "up", operators: UP, ..ARITHMETIC },
];

/// What the recipe evolves and examines at a scale of the nano world.
pub fn design(scale: Scale) -> Design {
    let (sizes, of_each_round, of_each_level) = match scale {
        Scale::Check => (Sizes { first: 60, evolved: 40, held_out: 40, rows: 24 }, 6, 4),
        _ => (Sizes { first: 2000, evolved: 1250, held_out: 160, rows: 1000 }, 80, 50),
    };
    Design {
        recipe: "wizardlm 1",
        plans: &PLANS,
        exams: vec![general_exam(of_each_round), sums_exam(of_each_level)],
        sizes,
        measured: &["evolved", "faulty-5", "faulty-20", "faulty-50"],
        answered: 10,
    }
}

fn general_exam(of_each: usize) -> Exam {
    const PLANS: [Plan; 1] = [Plan { name: "exam", begins: Begins::HeldOut, ..EVOLUTION }];
    Exam {
        domain: Domain::General,
        plans: &PLANS,
        by: Part::Round,
        parts: 0..=ROUNDS,
        of_each,
        development: 0,
    }
}

fn sums_exam(of_each: usize) -> Exam {
    const PLANS: [Plan; 2] = [
        Plan { name: "exam-down", begins: Begins::HeldOut, operators: DOWN, ..ARITHMETIC },
        Plan { name: "exam-up", begins: Begins::HeldOut, operators: UP, rounds: 4, ..ARITHMETIC },
    ];
    Exam {
        domain: Domain::Arithmetic,
        plans: &PLANS,
        by: Part::Level,
        parts: 1..=LEVELS,
        of_each,
        development: 0,
    }
}
