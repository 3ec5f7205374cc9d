//! Held-out questions and exact-match scoring.

use std::collections::HashSet;

use camelid_chat::{Conversation, Role};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::NanoConfig;
use super::facts::Facts;
use super::split::{Side, side};
use super::task::{Family, Task};

/// Sets the stream of random numbers apart from the others.
const STREAM: u64 = 3;

/// Draws without a new question after which a family counts as exhausted.
const PATIENCE: usize = 5000;

/// A held-out question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalItem {
    /// Unique id, e.g. `number-007`.
    pub id: String,
    /// The family it is scored under.
    pub family: Family,
    /// The dialogue so far: one user message.
    pub conversation: Conversation,
    /// The right answer, for [`score`].
    pub expected: String,
}

/// Different held-out questions, the same number from each family as far as it
/// has that many.
pub fn eval_items(config: &NanoConfig, facts: &Facts) -> Vec<EvalItem> {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    rng.set_stream(STREAM);
    let families: Vec<Family> = Family::ALL
        .into_iter()
        .filter(|&family| family != Family::Compose || config.composition_depth > 1)
        .collect();
    let mut items = Vec::with_capacity(config.eval_items);
    for (index, &family) in families.iter().enumerate() {
        // Shares that differ by one at most and add up.
        let share =
            config.eval_items * (index + 1) / families.len() - config.eval_items * index / families.len();
        let mut seen = HashSet::new();
        let mut fruitless = 0;
        while seen.len() < share && fruitless < PATIENCE {
            let task = Task::draw(family, config, &mut rng);
            let held_out = side(&task, config.held_out_percent) == Side::HeldOut;
            if !held_out || !seen.insert(task.key()) {
                fruitless += 1;
                continue;
            }
            fruitless = 0;
            let id = format!("{}-{:03}", family.as_str(), seen.len() - 1);
            let mut conversation = Conversation::new(id.clone());
            conversation.push(Role::User, task.question(seen.len() % 2 == 0));
            items.push(EvalItem { id, family, conversation, expected: task.answer(facts) });
        }
    }
    items
}

/// Whether a reply is the expected answer: the same words, white space and the
/// final period aside. Case and everything else count.
pub fn score(reply: &str, expected: &str) -> bool {
    normal(reply) == normal(expected)
}

fn normal(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let joined = words.join(" ");
    joined.strip_suffix('.').unwrap_or(&joined).trim_end().to_string()
}
