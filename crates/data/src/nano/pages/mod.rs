//! Raw pages of conversations over the nano world, as ShareGPT held them, with their faults.
//!
//! Replies are the HTML of a chat window; users write plain text with `<`, `*` and `_` in it. Most
//! conversations go on after the first answer, with questions that only the turns before make sense
//! of. A part of the pages is unfit, each in a way that the cleaning of real pages knows
//! ([`Fault`]). Nothing here is clean: what to learn from comes out of `camelid_data`'s cleaning.

mod fault;
mod html;
mod item;
mod round;
mod talk;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

pub use fault::Fault;
pub use item::ChatItem;

use super::NanoConfig;
use super::facts::Facts;
use super::task::below;
use html::Block;
use round::{Round, Subject};
use talk::Talk;

/// Sets the stream of random numbers of pages apart from the others.
const STREAM: u64 = 5;
/// Sets that of single exercises apart.
const EXERCISES: u64 = 6;

/// What Vicuna's template writes around a conversation (`camelid_chat`'s `vicuna_v1.1`).
pub const FRAME: &str = "A chat between a curious user and an artificial intelligence assistant. The assistant gives \
                     helpful, detailed, and polite answers to the user's questions. USER: ASSISTANT:";

/// What a question of a conversation tests; scores are reported by skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Skill {
    /// Facts that prose states.
    Fact,
    /// Facts that conversations alone tell: prose does not state them.
    Told,
    /// Sums and differences.
    Number,
    /// First, second, last, count and reverse of a list of words.
    List,
    /// First letter, last letter and length of a word.
    Letter,
    /// Lists and code in blocks, generic types.
    Format,
}

impl Skill {
    /// All skills, in the order of reports.
    pub const ALL: [Skill; 6] =
        [Skill::Fact, Skill::Told, Skill::Number, Skill::List, Skill::Letter, Skill::Format];

    /// The name in reports and item ids.
    pub fn as_str(self) -> &'static str {
        match self {
            Skill::Fact => "fact",
            Skill::Told => "told",
            Skill::Number => "number",
            Skill::List => "list",
            Skill::Letter => "letter",
            Skill::Format => "format",
        }
    }
}

/// How often each skill opens a conversation; its place in the list is its share.
const SHARES: [Skill; 8] = [
    Skill::Fact,
    Skill::Told,
    Skill::Told,
    Skill::Number,
    Skill::List,
    Skill::List,
    Skill::Letter,
    Skill::Format,
];

/// A page: one conversation as the site stored it. Serialised, it is a row of a raw ShareGPT file.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// Its id; not unique where the fault is a second copy.
    pub id: String,
    /// The model that replied: `gpt4`, or none for the one before, which makes mistakes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'static str>,
    /// Add-ons that were switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugins: Option<Vec<&'static str>>,
    /// The turns.
    pub conversations: Vec<PageTurn>,
    /// What is wrong with it, if anything.
    #[serde(skip)]
    pub fault: Option<Fault>,
    /// The skills its rounds ask for, in order.
    #[serde(skip)]
    pub skills: Vec<Skill>,
}

/// A turn of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageTurn {
    /// `human` or `gpt`.
    pub from: &'static str,
    /// The user's text, or the reply's HTML.
    pub value: String,
}

impl PageTurn {
    fn human(text: impl Into<String>) -> Self {
        Self { from: "human", value: text.into() }
    }

    fn gpt(html: impl Into<String>) -> Self {
        Self { from: "gpt", value: html.into() }
    }
}

/// A question with an answer and nothing before or after, as Alpaca's data are; serialised, it is a
/// row of an Alpaca file.
#[derive(Clone, Debug, Serialize)]
pub struct Exercise {
    /// What to do.
    pub instruction: String,
    /// What to do it with; empty here.
    pub input: &'static str,
    /// The answer, plain text.
    pub output: String,
}

/// The raw pages of a world, `config.pages` of them.
pub fn pages(config: &NanoConfig, facts: &Facts) -> Vec<Page> {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    rng.set_stream(STREAM);
    let talk = Talk::new(config, facts);
    let mut pages: Vec<Page> = Vec::with_capacity(config.pages);
    while pages.len() < config.pages {
        let mut page = talk.page(pages.len(), &mut rng);
        if rng.random_ratio(config.faulty_percent, 100) {
            let earlier = pages.get(below(&mut rng, pages.len().max(1)));
            fault::spoil(&mut page, earlier, &talk, &mut rng);
        }
        pages.push(page);
    }
    pages
}

/// Single exercises over the same skills, but for what conversations alone tell: `count` of them.
pub fn exercises(config: &NanoConfig, facts: &Facts, count: usize) -> Vec<Exercise> {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    rng.set_stream(EXERCISES);
    let talk = Talk::new(config, facts);
    let plain = SHARES.map(|skill| if skill == Skill::Told { Skill::Fact } else { skill });
    let mut exercise = || {
        let (_, round) = talk.asked_in_tuning(&plain, &mut rng);
        let output = round.reply.iter().map(Block::markdown).collect::<Vec<_>>().join("\n\n");
        Exercise { instruction: round.question, input: "", output }
    };
    (0..count).map(|_| exercise()).collect()
}

/// Held-out questions of `config.eval_items` conversations: see [`ChatItem`].
pub fn chat_items(config: &NanoConfig, facts: &Facts) -> Vec<ChatItem> {
    item::draw(&Talk::new(config, facts))
}

impl Talk<'_> {
    /// A conversation without faults.
    fn page(&self, number: usize, rng: &mut ChaCha8Rng) -> Page {
        let gpt4 = rng.random_ratio(2, 5);
        let more = match rng.random_ratio(self.config.multi_turn_percent.max(75), 100) {
            true => 1 + below(rng, 4),
            false => 0,
        };
        let (mut subject, first) = self.asked_in_tuning(&SHARES, rng);
        let mut rounds = vec![first];
        while rounds.len() <= more {
            rounds.push(self.asked_next(&mut subject, rng));
        }
        let mut turns = Vec::new();
        for round in &rounds {
            turns.push(PageTurn::human(&round.question));
            let mistaken = !gpt4 && rng.random_ratio(1, 10);
            let reply =
                if mistaken { &self.asked_in_tuning(&[round.skill], rng).1.reply } else { &round.reply };
            let counter = rng.random_ratio(1, 12).then(|| (1 + below(rng, 2), 2));
            turns.push(PageTurn::gpt(html::reply(reply, counter)));
        }
        Page {
            id: format!("page{number:05}_0"),
            model: gpt4.then_some("gpt4"),
            plugins: None,
            conversations: turns,
            fault: None,
            skills: rounds.iter().map(|round| round.skill).collect(),
        }
    }

    /// A first question that is not held out.
    fn asked_in_tuning(&self, skills: &[Skill], rng: &mut ChaCha8Rng) -> (Subject, Round) {
        loop {
            let (subject, round) = self.opening(skills[below(rng, skills.len())], rng);
            if !round.is_held_out(self.config.held_out_percent) {
                return (subject, round);
            }
        }
    }

    /// A follow-up that is not held out; now and then the user turns to something else.
    fn asked_next(&self, subject: &mut Subject, rng: &mut ChaCha8Rng) -> Round {
        loop {
            let mut next = subject.clone();
            let round = match rng.random_ratio(1, 6) {
                true => {
                    let (other, round) = self.asked_in_tuning(&SHARES, rng);
                    next = other;
                    round
                }
                false => self.follow_up(&mut next, rng),
            };
            if !round.is_held_out(self.config.held_out_percent) {
                *subject = next;
                return round;
            }
        }
    }
}

/// Every word that pages and their cleaning can bring forth, for the vocabulary: turns as the site
/// wrote them, as cleaning leaves them, and as templates frame them.
pub fn texts(config: &NanoConfig, facts: &Facts) -> Vec<String> {
    let mut texts = vec![FRAME.to_owned()];
    let pages = pages(config, facts);
    // Other languages stay bytes.
    for turn in pages.iter().flat_map(|page| &page.conversations).filter(|turn| turn.value.is_ascii()) {
        texts.push(turn.value.clone());
        texts.push(format!(" {}", turn.value));
    }
    for item in chat_items(config, facts) {
        texts.extend(item.conversation.messages.iter().map(|message| format!(" {}", message.content)));
    }
    texts
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use camelid_chat::{Conversation, Role, Template};

    use super::*;

    fn config() -> NanoConfig {
        NanoConfig { pages: 600, eval_items: 240, ..NanoConfig::default() }
    }

    #[test]
    fn pages_are_the_same_every_time_and_show_every_fault() {
        let config = config();
        let facts = Facts::draw(&config);
        let made = pages(&config, &facts);
        assert_eq!(
            serde_json::to_string(&made).unwrap(),
            serde_json::to_string(&pages(&config, &facts)).unwrap()
        );
        let mut faults: BTreeMap<Fault, usize> = BTreeMap::new();
        made.iter().filter_map(|page| page.fault).for_each(|fault| *faults.entry(fault).or_default() += 1);
        assert_eq!(faults.len(), Fault::ALL.len(), "{faults:?}");
        let many = made.iter().filter(|page| page.conversations.len() > 2).count();
        assert!(many * 2 > made.len(), "most conversations go on: {many}");
    }

    #[test]
    fn the_frame_is_what_the_template_writes() {
        let mut conversation = Conversation::new("frame");
        conversation.push(Role::User, "?");
        let template = Template::builtin("vicuna_v1.1").unwrap();
        let written = template.render(&conversation, true).unwrap().text;
        assert_eq!(written.trim_start_matches("<s>").replace(" ?", ""), FRAME);
    }

    #[test]
    fn no_held_out_question_is_asked_on_a_page_or_in_an_exercise() {
        let config = config();
        let facts = Facts::draw(&config);
        let asked: HashSet<String> = pages(&config, &facts)
            .into_iter()
            .flat_map(|page| page.conversations)
            .filter(|turn| turn.from == "human")
            .map(|turn| turn.value)
            .chain(exercises(&config, &facts, 500).into_iter().map(|exercise| exercise.instruction))
            .collect();
        let items = chat_items(&config, &facts);
        for item in items.iter().filter(|item| item.turn == 1 && item.skill != Skill::Told) {
            let question = &item.conversation.messages.last().unwrap().content;
            assert!(!asked.contains(question), "{question} is asked in tuning");
        }
        for skill in Skill::ALL {
            assert!(items.iter().any(|item| item.skill == skill), "no question of {skill:?}");
        }
        assert!(items.iter().any(|item| item.turn > 1));
    }
}
