//! What is wrong with raw pages, planted so that it is known what cleaning must find.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::html::{Block, reply};
use super::round::name;
use super::talk::Talk;
use super::{Page, PageTurn, Skill};
use crate::nano::task::below;

/// What is wrong with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A page once more, id and all.
    SameId,
    /// A conversation once more under another id.
    SameOpening,
    /// A reply that speaks of the service instead of answering.
    Blocked,
    /// The service refused for the number of requests.
    RateLimit,
    /// A turn with nothing in it; what follows it is lost.
    EmptyTurn,
    /// The page begins in the middle, with a reply.
    LeadingReply,
    /// One turn, or next to nothing in it.
    TooShort,
    /// Another language: Korean.
    OtherLanguage,
    /// More turns than fit into any context.
    OverLong,
    /// Two turns of the user in a row.
    WrongOrder,
    /// Made with an add-on.
    Plugin,
}

impl Fault {
    /// All faults.
    pub const ALL: [Fault; 11] = [
        Fault::SameId,
        Fault::SameOpening,
        Fault::Blocked,
        Fault::RateLimit,
        Fault::EmptyTurn,
        Fault::LeadingReply,
        Fault::TooShort,
        Fault::OtherLanguage,
        Fault::OverLong,
        Fault::WrongOrder,
        Fault::Plugin,
    ];
}

/// Rounds of a conversation that no context holds.
const LONG: usize = 40;

/// Gives a page one of the faults; a copy is made of an earlier page.
pub fn spoil(page: &mut Page, earlier: Option<&Page>, talk: &Talk, rng: &mut ChaCha8Rng) {
    // Copies are the most frequent fault.
    let fault = match below(rng, Fault::ALL.len() + 4) {
        n if n < Fault::ALL.len() => Fault::ALL[n],
        n => [Fault::SameId, Fault::SameOpening][n % 2],
    };
    let text = |text: &str| reply(&[Block::Text(text.to_owned())], None);
    let turns = &mut page.conversations;
    match fault {
        Fault::SameId | Fault::SameOpening => {
            let Some(earlier) = earlier.filter(|earlier| earlier.fault.is_none()) else { return };
            *turns = earlier.conversations.clone();
            page.model = earlier.model;
            page.skills.clone_from(&earlier.skills);
            if fault == Fault::SameId {
                page.id.clone_from(&earlier.id);
            }
        }
        Fault::Blocked => {
            let at = some_reply(turns, rng);
            turns[at].value = text("I am ChatGPT, made by OpenAI. I do not know.");
        }
        Fault::RateLimit => {
            let at = some_reply(turns, rng);
            turns[at].value = "Too many requests in 1 hour. Try again later.".to_owned();
        }
        Fault::EmptyTurn => {
            let at = below(rng, turns.len());
            turns[at].value = if turns[at].from == "gpt" { "<div></div>".to_owned() } else { String::new() };
        }
        Fault::LeadingReply => turns.insert(0, PageTurn::gpt(text("I do not know."))),
        Fault::TooShort => match rng.random_bool(0.5) {
            true => turns.truncate(1),
            false => *turns = vec![PageTurn::human("it"), PageTurn::gpt(text("Yes."))],
        },
        Fault::OtherLanguage => {
            let who = name(rng, talk.config.entities);
            *turns = vec![
                PageTurn::human(format!("{who}의 집은 어디에 있습니까? 그리고 무엇을 먹습니까?")),
                PageTurn::gpt(text(&format!(
                    "{who}의 집은 강 옆의 작은 마을에 있고, 매일 아침 빵을 먹습니다."
                ))),
            ];
        }
        Fault::OverLong => {
            let (mut subject, _) = talk.asked_in_tuning(&[Skill::List], rng);
            while turns.len() < 2 * LONG {
                let round = talk.asked_next(&mut subject, rng);
                turns.push(PageTurn::human(round.question));
                turns.push(PageTurn::gpt(reply(&round.reply, None)));
                page.skills.push(round.skill);
            }
        }
        Fault::WrongOrder => {
            let again = turns[0].clone();
            turns.insert(1, again);
        }
        Fault::Plugin => page.plugins = Some(vec!["browsing"]),
    }
    page.fault = Some(fault);
}

/// The place of some reply.
fn some_reply(turns: &[PageTurn], rng: &mut ChaCha8Rng) -> usize {
    2 * below(rng, turns.len() / 2) + 1
}
