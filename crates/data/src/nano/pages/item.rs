//! Held-out questions of conversations: first turns, later turns, what conversations alone tell.

use std::collections::HashSet;

use camelid_chat::{Conversation, Role};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Skill;
use super::html::{Block, reply};
use super::round::Round;
use super::talk::Talk;
use crate::nano::task::below;

/// Sets the stream of random numbers apart from the others.
const STREAM: u64 = 7;
/// Draws without a new question after which a skill counts as exhausted.
const PATIENCE: usize = 5000;
/// Skills that a first turn and a later one are compared on.
const ASKED: [Skill; 5] = [Skill::Fact, Skill::Number, Skill::List, Skill::Letter, Skill::Format];

/// A question, the last turn of a dialogue whose earlier replies are right. It is held out, but for what
/// only conversations tell: that is asked as they ask it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatItem {
    /// Unique id, e.g. `list-2-007`: skill, turn, number.
    pub id: String,
    /// What it tests.
    pub skill: Skill,
    /// The round it is asked in, from 1.
    pub turn: usize,
    /// The dialogue so far; the last message is the user's. Its replies are Markdown.
    pub conversation: Conversation,
    /// The same with its replies as pages hold them, HTML: for a model that was tuned on raw pages.
    pub raw: Conversation,
    /// The right reply, as Markdown.
    pub expected: String,
}

/// `eval_items` questions: a quarter are what conversations tell, each fact once at most, the rest half in
/// first turns, half in second and third ones.
pub fn draw(talk: &Talk) -> Vec<ChatItem> {
    let mut rng = ChaCha8Rng::seed_from_u64(talk.config.seed);
    rng.set_stream(STREAM);
    let mut items = told(talk, &mut rng);
    let each = (talk.config.eval_items.saturating_sub(items.len()) / (2 * ASKED.len())).max(1);
    for skill in ASKED {
        for later in [false, true] {
            let (mut seen, mut fruitless) = (HashSet::new(), 0);
            while seen.len() < each && fruitless < PATIENCE {
                let dialogue = talk.dialogue(skill, later, &mut rng);
                let last = &dialogue[dialogue.len() - 1];
                let fits = last.skill == skill && last.is_held_out(talk.config.held_out_percent);
                // What was said before must not give the answer away.
                let given = dialogue[..dialogue.len() - 1].iter().any(|round| round.reply == last.reply);
                if fits && !given && seen.insert(last.key.clone()) {
                    items.push(item(&dialogue, seen.len() - 1));
                    fruitless = 0;
                } else {
                    fruitless += 1;
                }
            }
        }
    }
    items
}

/// Told facts, each once, in either wording.
fn told(talk: &Talk, rng: &mut ChaCha8Rng) -> Vec<ChatItem> {
    let mut all: Vec<(usize, usize)> = talk
        .told_attributes()
        .flat_map(|attribute| (0..talk.config.entities).map(move |entity| (entity, attribute)))
        .collect();
    let wanted = (talk.config.eval_items / 4).min(all.len());
    let mut items = Vec::with_capacity(wanted);
    while items.len() < wanted {
        let (entity, attribute) = all.swap_remove(below(rng, all.len()));
        items.push(item(&[talk.about_person(entity, attribute, rng.random_bool(0.5))], items.len()));
    }
    items
}

impl Talk<'_> {
    /// One round of a skill, or two or three whose last one follows up.
    fn dialogue(&self, skill: Skill, later: bool, rng: &mut ChaCha8Rng) -> Vec<Round> {
        if !later {
            return vec![self.opening(skill, rng).1];
        }
        // Blocks are asked for of lists too.
        let begin = if skill == Skill::Format { Skill::List } else { skill };
        let (mut subject, first) = self.opening(begin, rng);
        let mut rounds = vec![first];
        for _ in 0..1 + below(rng, 2) {
            rounds.push(self.follow_up(&mut subject, rng));
        }
        rounds
    }
}

fn item(dialogue: &[Round], number: usize) -> ChatItem {
    let (last, before) = dialogue.split_last().expect("a dialogue has a round");
    let id = format!("{}-{}-{number:03}", last.skill.as_str(), dialogue.len().min(2));
    let so_far = |written: &dyn Fn(&[Block]) -> String| {
        let mut conversation = Conversation::new(id.clone());
        for round in before {
            conversation.push(Role::User, &round.question);
            conversation.push(Role::Assistant, written(&round.reply));
        }
        conversation.push(Role::User, &last.question);
        conversation
    };
    ChatItem {
        skill: last.skill,
        turn: dialogue.len(),
        conversation: so_far(&|reply| markdown(reply)),
        raw: so_far(&|blocks| reply(blocks, None)),
        expected: markdown(&last.reply),
        id,
    }
}

fn markdown(blocks: &[Block]) -> String {
    blocks.iter().map(Block::markdown).collect::<Vec<_>>().join("\n\n")
}
