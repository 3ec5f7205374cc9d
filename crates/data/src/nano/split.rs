//! Which tasks tuning may ask. Decided by a hash of the task's operands, so a
//! held-out question cannot occur in tuning in any wording.

use super::task::Task;

/// Tuning or evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Tuning,
    HeldOut,
}

/// The side of a task, the same for every seed.
pub fn side(task: &Task, held_out_percent: u32) -> Side {
    side_of(&task.key(), held_out_percent)
}

/// The side of what has this key.
pub fn side_of(key: &str, held_out_percent: u32) -> Side {
    match hash(key) % 100 < u64::from(held_out_percent) {
        true => Side::HeldOut,
        false => Side::Tuning,
    }
}

/// A number that goes with a key, to seed draws that are to be the same wherever it occurs.
pub fn number_of(key: &str) -> u64 {
    hash(key)
}

/// FNV-1a with a final mix, since its low bits alone are uneven on short keys.
fn hash(key: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
