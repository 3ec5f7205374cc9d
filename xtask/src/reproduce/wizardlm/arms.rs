//! The arms: which rows of which evolution a model is tuned on, and how many.

use camelid_data::nano::Domain;
use camelid_evolve::Mix;
use camelid_recipe::evolved::{Arm, Size};

/// Evol-Instruct as the paper mixes it: first instructions and all rounds. Comparisons are against this arm.
pub const MIX: Arm = Arm {
    name: "mix",
    label: "first instructions and all four rounds",
    lineages: &["evolved"],
    mix: Mix::All,
    checked: false,
    size: Size::Rows,
    exam: Domain::General,
    rows_a_step: 0,
};
/// First instructions alone, as many rows.
pub const SEEDS: Arm =
    Arm { name: "seeds", label: "first instructions, as many rows", mix: Mix::Round(0), ..MIX };
/// First instructions alone, as many tokens.
pub const SEEDS_TOKENS: Arm = Arm {
    name: "seeds-tokens",
    label: "first instructions, as many tokens",
    lineages: &["first"],
    size: Size::TokensOf(&MIX),
    ..SEEDS
};
/// One round alone, as many rows, by the number of the round less one.
pub const ROUNDS: [Arm; 4] = [
    Arm { name: "round-1", label: "round 1 alone", mix: Mix::Round(1), ..MIX },
    Arm { name: "round-2", label: "round 2 alone", mix: Mix::Round(2), ..MIX },
    Arm { name: "round-3", label: "round 3 alone", mix: Mix::Round(3), ..MIX },
    Arm { name: "round-4", label: "round 4 alone", mix: Mix::Round(4), ..MIX },
];
const BY_TOKENS: Arm = Arm { size: Size::TokensOf(&MIX), ..MIX };
/// The same with as many tokens.
const ROUNDS_TOKENS: [Arm; 4] = [
    Arm { name: "round-1-tokens", label: "round 1 alone, as many tokens", mix: Mix::Round(1), ..BY_TOKENS },
    Arm { name: "round-2-tokens", label: "round 2 alone, as many tokens", mix: Mix::Round(2), ..BY_TOKENS },
    Arm { name: "round-3-tokens", label: "round 3 alone, as many tokens", mix: Mix::Round(3), ..BY_TOKENS },
    Arm { name: "round-4-tokens", label: "round 4 alone, as many tokens", mix: Mix::Round(4), ..BY_TOKENS },
];
/// What lives of each line in the end, as many rows.
const LAST: Arm = Arm { name: "last", label: "each line's last row", mix: Mix::Last, ..MIX };
/// The same with as many tokens.
pub const LAST_TOKENS: Arm = Arm {
    name: "last-tokens",
    label: "each line's last row, as many tokens",
    size: Size::TokensOf(&MIX),
    ..LAST
};
/// Evolved in depth alone.
pub const DEPTH: Arm = Arm { name: "depth", label: "evolved in depth alone", lineages: &["depth"], ..MIX };
/// Evolved in breadth alone.
pub const BREADTH: Arm =
    Arm { name: "breadth", label: "evolved in breadth alone", lineages: &["breadth"], ..MIX };
/// By an evolver that spoils a fifth of its rows, with elimination.
pub const ELIMINATED: Arm = Arm {
    name: "eliminated-20",
    label: "20 % of rows spoilt, eliminated by rule",
    lineages: &["faulty-20"],
    ..MIX
};
/// The same without elimination.
pub const RAW: Arm =
    Arm { name: "raw-20", label: "20 % of rows spoilt, none eliminated", lineages: &["raw-20"], ..MIX };
/// The same at 5 and at 50 %, eliminated and not.
pub const OTHER_ERRORS: [Arm; 4] = [
    Arm { name: "eliminated-5", label: "5 % spoilt, eliminated by rule", lineages: &["faulty-5"], ..MIX },
    Arm { name: "raw-5", label: "5 % spoilt, none eliminated", lineages: &["raw-5"], ..MIX },
    Arm { name: "eliminated-50", label: "50 % spoilt, eliminated by rule", lineages: &["faulty-50"], ..MIX },
    Arm { name: "raw-50", label: "50 % spoilt, none eliminated", lineages: &["raw-50"], ..MIX },
];
/// Sums of two or three steps with easier and harder ones.
pub const BOTH: Arm = Arm {
    name: "both",
    label: "sums, evolved down and up",
    lineages: &["down", "up"],
    exam: Domain::Arithmetic,
    ..MIX
};
/// With easier ones alone, as many tokens.
pub const DOWN: Arm = Arm {
    name: "down",
    label: "sums, evolved down, as many tokens",
    lineages: &["down"],
    size: Size::TokensOf(&BOTH),
    ..BOTH
};
/// With harder ones alone, as many tokens.
pub const UP: Arm = Arm { name: "up", label: "sums, evolved up, as many tokens", lineages: &["up"], ..DOWN };

/// The arms of the default run.
pub fn default_arms() -> Vec<Arm> {
    let mut arms = vec![MIX, SEEDS, SEEDS_TOKENS];
    arms.extend(ROUNDS);
    arms.extend([LAST_TOKENS, DEPTH, BREADTH, ELIMINATED, RAW, BOTH, DOWN, UP]);
    arms
}

/// Every arm.
pub fn all_arms() -> Vec<Arm> {
    let mut arms = default_arms();
    arms.push(LAST);
    arms.extend(ROUNDS_TOKENS);
    arms.extend(OTHER_ERRORS);
    arms
}
