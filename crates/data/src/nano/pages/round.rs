//! One question with its reply, and what may be asked next about the same thing.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Skill;
use super::html::Block;
use super::talk::Talk;
use crate::nano::lexicon::{ATTRIBUTES, NAMES, NOUNS};
use crate::nano::split::{Side, side_of};
use crate::nano::task::{
    LETTER_OPS, LIST_OPS, LetterOp, ListOp, Task, below, draw_list, draw_spelled, draw_step, equations, join,
};

/// What a conversation is about: a follow-up leaves it unsaid.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A person, by index.
    Person(usize),
    /// A list of words.
    Words(Vec<usize>),
    /// The last result.
    Value(u32),
    /// A word whose letters are asked for.
    Letters(&'static str),
    /// A generic type of a word.
    Generic,
}

/// A question with its reply.
#[derive(Clone, Debug)]
pub struct Round {
    /// What the user writes.
    pub question: String,
    /// The right reply.
    pub reply: Vec<Block>,
    /// What it tests.
    pub skill: Skill,
    /// What makes it this question and no other, however it is worded.
    pub key: String,
}

impl Round {
    /// Whether tuning may not ask it.
    pub fn is_held_out(&self, percent: u32) -> bool {
        // What conversations alone tell cannot be held out from them.
        self.skill != Skill::Told && side_of(&self.key, percent) == Side::HeldOut
    }
}

impl Talk<'_> {
    /// A first question of a skill, with its subject.
    pub fn opening(&self, skill: Skill, rng: &mut ChaCha8Rng) -> (Subject, Round) {
        let second_wording = rng.random_bool(0.5);
        match skill {
            Skill::Fact | Skill::Told => {
                let entity = below(rng, self.config.entities);
                let attribute = self.draw_attribute(skill, rng);
                (Subject::Person(entity), self.about_person(entity, attribute, second_wording))
            }
            Skill::Number => {
                let (start, step) = draw_step(self.config, rng);
                let task = Task::Number { start, steps: vec![step] };
                (Subject::Value((start as i32 + step) as u32), self.task(&task, skill, second_wording))
            }
            Skill::List => {
                let words = draw_list(self.config.list_words, self.config, rng);
                let task = Task::List { op: LIST_OPS[below(rng, LIST_OPS.len())], words: words.clone() };
                let mut round = self.task(&task, skill, second_wording);
                // Users mark words as they like: signs that Markdown and HTML read otherwise.
                let (list, marked) = (join(&words, &NOUNS), self.marked(&words, rng));
                round.question = round.question.replace(&list, &marked);
                (Subject::Words(words), round)
            }
            Skill::Letter => {
                let word = draw_spelled(self.config, rng);
                let task = Task::Letter { op: LETTER_OPS[below(rng, LETTER_OPS.len())], word };
                (Subject::Letters(word), self.task(&task, skill, second_wording))
            }
            Skill::Format => match below(rng, 3) {
                0 => (Subject::Generic, self.generic("What is in", rng)),
                n => {
                    let words = draw_list(self.config.list_words, self.config, rng);
                    let round = written(&words, &join(&words, &NOUNS), n == 1);
                    (Subject::Words(words), round)
                }
            },
        }
    }

    /// A question that only the turns before make sense of.
    pub fn follow_up(&self, subject: &mut Subject, rng: &mut ChaCha8Rng) -> Round {
        let begin = if rng.random_bool(0.5) { "What is" } else { "Tell me" };
        let ask = |topic: &str| match begin {
            "What is" => format!("What is {topic}?"),
            _ => format!("Tell me {topic}."),
        };
        match subject {
            Subject::Person(entity) => {
                let told = !self.told_attributes().is_empty() && rng.random_bool(0.5);
                let attribute = self.draw_attribute(if told { Skill::Told } else { Skill::Fact }, rng);
                let mut round = self.about_person(*entity, attribute, false);
                round.question = ask(&format!("the {}", ATTRIBUTES[attribute].noun));
                round
            }
            Subject::Words(words) => match below(rng, 7) {
                n @ 0..=1 => written(words, "it", n == 0),
                n => {
                    let op = LIST_OPS[n - 2];
                    let task = Task::List { op, words: words.clone() };
                    let mut round = self.task(&task, Skill::List, false);
                    round.question = ask(match op {
                        ListOp::First => "the first word",
                        ListOp::Second => "the second word",
                        ListOp::Last => "the last word",
                        ListOp::Count => "the number of words",
                        ListOp::Reverse => "the reverse",
                    });
                    round
                }
            },
            Subject::Value(value) => {
                let (start, limit) = (*value, 2 * self.config.max_number);
                let (up, down) = (limit.saturating_sub(start), start);
                let adds = down == 0 || (up > 0 && rng.random_bool(0.5));
                let most = if adds { up } else { down }.min(self.config.max_number);
                let operand = 1 + below(rng, most as usize) as u32;
                let step = if adds { operand as i32 } else { -(operand as i32) };
                let task = Task::Number { start, steps: vec![step] };
                *value = (start as i32 + step) as u32;
                let question = match (adds, begin) {
                    (true, "What is") => format!("What is it plus {operand}?"),
                    (true, _) => format!("Add {operand} to it."),
                    (false, "What is") => format!("What is it minus {operand}?"),
                    (false, _) => format!("Take {operand} from it."),
                };
                Round {
                    question,
                    reply: vec![Block::Text(equations(start, &[step]))],
                    skill: Skill::Number,
                    key: task.key(),
                }
            }
            Subject::Letters(word) => {
                let op = LETTER_OPS[below(rng, LETTER_OPS.len())];
                let mut round = self.task(&Task::Letter { op, word }, Skill::Letter, false);
                round.question = ask(match op {
                    LetterOp::Begin => "the first letter",
                    LetterOp::End => "the last letter",
                    LetterOp::Length => "the number of letters",
                });
                round
            }
            Subject::Generic => self.generic("And in", rng),
        }
    }

    fn task(&self, task: &Task, skill: Skill, second_wording: bool) -> Round {
        Round {
            question: task.question(second_wording),
            reply: vec![Block::Text(task.answer(self.facts))],
            skill,
            key: task.key(),
        }
    }

    /// An attribute of a person, be it of the world or told in conversations alone.
    pub fn about_person(&self, entity: usize, attribute: usize, second_wording: bool) -> Round {
        let task = Task::Fact { entity, attribute };
        if attribute < self.config.attributes {
            return self.task(&task, Skill::Fact, second_wording);
        }
        Round {
            question: task.question(second_wording),
            reply: vec![Block::Text(self.told_statement(entity, attribute))],
            skill: Skill::Told,
            key: task.key(),
        }
    }

    fn draw_attribute(&self, skill: Skill, rng: &mut ChaCha8Rng) -> usize {
        let told = self.told_attributes();
        match skill {
            Skill::Told if !told.is_empty() => told.start + below(rng, told.len()),
            _ => below(rng, self.config.attributes),
        }
    }

    /// A list as users write it: now and then with stars around it, or with underscores.
    fn marked(&self, words: &[usize], rng: &mut ChaCha8Rng) -> String {
        let list = join(words, &NOUNS);
        match below(rng, 8) {
            0 => format!("*{list}*"),
            1 => list.replace(' ', "_"),
            _ => list,
        }
    }

    /// A question about a generic type: `<` in a user's text.
    fn generic(&self, begin: &str, rng: &mut ChaCha8Rng) -> Round {
        let words = draw_list(self.config.list_words, self.config, rng);
        let (outer, inner) = (NOUNS[words[0]], NOUNS[words[1]]);
        Round {
            question: format!("{begin} {outer}<{inner}>?"),
            reply: vec![Block::Text(format!("In `{outer}<{inner}>` is {inner}."))],
            skill: Skill::Format,
            key: format!("generic {outer} {inner}"),
        }
    }
}

/// Words written as a list or as code; `what` is how the question calls them.
fn written(words: &[usize], what: &str, as_list: bool) -> Round {
    let (form, block) = match as_list {
        true => ("a list", Block::List(words.iter().map(|&word| NOUNS[word].to_owned()).collect())),
        false => (
            "code",
            Block::Code {
                language: "rust",
                text: format!("let words: Vec<Word> = [ {} ];", join(words, &NOUNS)),
            },
        ),
    };
    Round {
        question: format!("Write {what} as {form}."),
        reply: vec![block],
        skill: Skill::Format,
        key: format!("write {form} {}", join(words, &NOUNS)),
    }
}

/// A person's name, for the faults that need one.
pub fn name(rng: &mut ChaCha8Rng, entities: usize) -> &'static str {
    NAMES[below(rng, entities)]
}
