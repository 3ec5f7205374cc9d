//! Trees of dialogue in OASST1's shape, with ranked good and bad replies.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::NanoConfig;
use super::facts::Facts;
use super::split::{Side, side};
use super::task::{Family, Task, below};
use crate::oasst::{MessageNode, MessageTree, Speaker};

/// Sets the stream of random numbers apart from the others.
const STREAM: u64 = 2;

/// How often each family is asked; its place in the list is its share.
const SHARES: [Family; 12] = [
    Family::Fact,
    Family::Fact,
    Family::Fact,
    Family::Number,
    Family::Number,
    Family::List,
    Family::List,
    Family::List,
    Family::Letter,
    Family::Compose,
    Family::Compose,
    Family::Compose,
];

/// The trees for tuning.
pub fn trees(config: &NanoConfig, facts: &Facts) -> Vec<MessageTree> {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    rng.set_stream(STREAM);
    let mut writer = Writer { config, facts, rng };
    (0..config.tuning_trees).map(|number| writer.tree(number)).collect()
}

struct Writer<'a> {
    config: &'a NanoConfig,
    facts: &'a Facts,
    rng: ChaCha8Rng,
}

impl Writer<'_> {
    fn tree(&mut self, number: usize) -> MessageTree {
        let id = format!("nano-{number:06}");
        let more_turns = match self.rng.random_ratio(self.config.multi_turn_percent, 100) {
            true => 1 + below(&mut self.rng, 2),
            false => 0,
        };
        MessageTree {
            message_tree_id: id.clone(),
            tree_state: Some("ready_for_export".into()),
            prompt: self.exchange(id, None, more_turns),
        }
    }

    /// A question with its ranked replies; the best one may be asked on.
    fn exchange(&mut self, id: String, parent: Option<String>, more_turns: usize) -> MessageNode {
        let task = self.task();
        let second_wording = self.rng.random_bool(0.5);
        let mut prompt = reviewed(&id, parent, Speaker::Prompter, task.question(second_wording));

        let mut best = self.reply(&id, 0, task.answer(self.facts));
        if more_turns > 0 {
            let next = format!("{}.0", best.message_id);
            let follow_up = self.exchange(next, Some(best.message_id.clone()), more_turns - 1);
            best.replies.push(follow_up);
        }
        prompt.replies.push(best);

        let mistaken = task.mistaken(self.facts, self.config, &mut self.rng);
        let bad = [mistaken, "I do not know.".to_string()];
        for (text, rank) in bad.into_iter().zip(1..) {
            if rank == 1 || self.rng.random_bool(0.5) {
                let reply = self.reply(&id, rank, text);
                prompt.replies.push(reply);
            }
        }
        // Now and then a reply that no filter should let through.
        if self.rng.random_bool(0.1) {
            let count = prompt.replies.len() as i64;
            let mut removed = self.reply(&id, count, "###".into());
            removed.deleted = Some(self.rng.random_bool(0.5));
            removed.review_result = Some(false);
            prompt.replies.push(removed);
        }
        // Replies stand in the file in any order; the rank tells.
        let turn = below(&mut self.rng, prompt.replies.len());
        prompt.replies.rotate_left(turn);
        prompt
    }

    fn task(&mut self) -> Task {
        loop {
            let family = SHARES[below(&mut self.rng, SHARES.len())];
            if family == Family::Compose && self.config.composition_depth < 2 {
                continue;
            }
            let task = Task::draw(family, self.config, &mut self.rng);
            if side(&task, self.config.held_out_percent) == Side::Tuning {
                return task;
            }
        }
    }

    fn reply(&self, prompt_id: &str, rank: i64, text: String) -> MessageNode {
        let id = format!("{prompt_id}.{rank}");
        let mut reply = reviewed(&id, Some(prompt_id.to_string()), Speaker::Assistant, text);
        reply.rank = Some(rank);
        reply
    }
}

fn reviewed(id: &str, parent: Option<String>, role: Speaker, text: String) -> MessageNode {
    let mut node = MessageNode::new(id, role, text);
    node.parent_id = parent;
    node.lang = Some("en".into());
    node.review_count = Some(3);
    node.review_result = Some(true);
    node.deleted = Some(false);
    node.synthetic = Some(false);
    node
}
