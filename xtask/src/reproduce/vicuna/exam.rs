//! The questions, and how answers to them are marked.

use std::ops::ControlFlow;

use camelid_chat::{GenerateOptions, Message};
use camelid_data::Mode;
use camelid_data::clean::markdown;
use camelid_data::nano::{ChatItem, Skill, score};
use camelid_eval::exact_match::Marked;
use camelid_model::LocalGenerator;

/// The longest right answer in tokens, with room to spare: Markdown, and HTML with its frame.
const MARKDOWN_TOKENS: usize = 48;
const HTML_TOKENS: usize = 200;

/// What a question's score counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// First turns, but for what only conversations tell.
    First,
    /// Second and third turns, which make no sense without those before.
    Later,
    /// Both: what a chat score measures.
    Chat,
    /// What only conversations tell.
    Knowledge,
    /// Answers in a form that was asked for: lists, code, names of types.
    Instructions,
}

impl Group {
    /// All groups, in the order of reports.
    pub const ALL: [Group; 5] =
        [Group::First, Group::Later, Group::Chat, Group::Knowledge, Group::Instructions];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Group::First => "first turns",
            Group::Later => "later turns",
            Group::Chat => "chat",
            Group::Knowledge => "knowledge",
            Group::Instructions => "instructions",
        }
    }

    /// Whether it counts this answer.
    pub fn has(self, answer: &Marked) -> bool {
        let (skill, later) = answer
            .category
            .split_once(", ")
            .map_or((answer.category.as_str(), false), |(skill, _)| (skill, true));
        let told = skill == Skill::Told.as_str();
        match self {
            Group::First => !later && !told,
            Group::Later => later && !told,
            Group::Chat => !told,
            Group::Knowledge => told,
            Group::Instructions => skill == Skill::Format.as_str(),
        }
    }
}

/// Answers every question at temperature 0. A model that was tuned on raw pages (`html`) is shown the
/// earlier turns as those pages have them, and what it answers is cleaned before it is marked.
pub fn sit(generator: &LocalGenerator, items: &[ChatItem], html: bool) -> anyhow::Result<Vec<Marked>> {
    let answer = |item: &ChatItem| -> anyhow::Result<Marked> {
        let (text, said) = if html {
            let text = reply(generator, &item.raw.messages, HTML_TOKENS)?;
            let said = markdown(&text, Mode::Correct)?;
            (text, said)
        } else {
            let text = reply(generator, &item.conversation.messages, MARKDOWN_TOKENS)?;
            (text.clone(), text)
        };
        let correct = score(&said, &item.expected);
        let later = if item.turn > 1 { ", later" } else { "" };
        let category = format!("{}{later}", item.skill.as_str());
        Ok(Marked { question: item.id.clone(), category, text, correct })
    };
    items.iter().map(answer).collect()
}

/// A model's reply, greedily.
pub fn reply(generator: &LocalGenerator, so_far: &[Message], room: usize) -> anyhow::Result<String> {
    let options = GenerateOptions { max_new_tokens: room, ..GenerateOptions::default() };
    Ok(generator.answer(so_far, &options, &mut |_| ControlFlow::Continue(()))?.text)
}
