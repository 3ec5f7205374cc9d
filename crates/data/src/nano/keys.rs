//! Keys hidden in prose: whether a model finds again what it read, near by and far away.
//!
//! The passkey of Mohtashami and Jaggi (arXiv 2305.16300), with several keys: a user shows a text in
//! which sentences such as "The key of Mirel is fox." stand between others, and asks for some of them.

use camelid_chat::{Conversation, Role};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::NanoConfig;
use super::facts::Facts;
use super::lexicon::{NAMES, NOUNS};
use super::pages::FRAME;
use super::prose::Prose;
use super::task::below;
use super::tokenizer::pieces;

/// Sets the streams of random numbers of keys apart from the others: one stream a conversation.
const STREAMS: u64 = 1 << 32;
/// Tokens of a round besides its words: marks of the turns, end of the reply.
const ROUND: usize = 8;

/// Conversations about hidden keys. Number `n` hides and asks for the same keys whatever `tokens` is, so
/// that lengths are compared on the same questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenKeys {
    /// Number of the first conversation.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// Tokens of a conversation, as Vicuna's template writes it, at most.
    pub tokens: usize,
    /// Keys that are hidden in each, 1 to the world's `entities`.
    pub keys: usize,
    /// How many of them are asked for, a round each; `keys` at most.
    pub asked: usize,
}

/// The conversations.
pub fn conversations(config: &NanoConfig, facts: &Facts, wanted: &HiddenKeys) -> Vec<Conversation> {
    let range = wanted.first..wanted.first + wanted.count;
    range.map(|number| conversation(config, facts, wanted, number)).collect()
}

fn conversation(config: &NanoConfig, facts: &Facts, wanted: &HiddenKeys, number: usize) -> Conversation {
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    rng.set_stream(STREAMS + number as u64);
    let mut names: Vec<usize> = (0..config.entities).collect();
    names.shuffle(&mut rng);
    names.truncate(wanted.keys.clamp(1, config.entities));
    let hidden: Vec<String> = names
        .iter()
        .map(|&name| format!("The key of {} is {}.", NAMES[name], NOUNS[below(&mut rng, config.list_words)]))
        .collect();
    let asked = &names[..wanted.asked.clamp(1, names.len())];
    let question = |name: usize| format!("Tell me the key of {}.", NAMES[name]);
    // Where in the text each stands, as a share of its length.
    let places: Vec<f64> = hidden.iter().map(|_| rng.random_range(0.0..1.0)).collect();

    let rounds: usize = asked.iter().map(|&name| ROUND + pieces(&question(name)).count()).sum();
    let told: usize = hidden.iter().map(|sentence| pieces(sentence).count()).sum();
    let replies = told / hidden.len() * asked.len();
    let room = wanted.tokens.saturating_sub(pieces(FRAME).count() + rounds + told + replies + 2);
    let mut text = filler(config, facts, room, &mut rng);
    let length = text.len();
    let mut at: Vec<(usize, &String)> =
        places.iter().map(|place| (place * (length + 1) as f64) as usize).zip(&hidden).collect();
    at.sort();
    for (place, sentence) in at.into_iter().rev() {
        text.insert(place, sentence.clone());
    }

    let mut conversation = Conversation::new(format!("keys-{}-{number}", wanted.tokens));
    for (round, (&name, reply)) in asked.iter().zip(&hidden).enumerate() {
        let question = question(name);
        let shown = if round == 0 { format!("{} {question}", text.join(" ")) } else { question };
        conversation.push(Role::User, shown);
        conversation.push(Role::Assistant, reply);
    }
    conversation
}

/// Sentences of the world's prose, `tokens` tokens of them at most.
fn filler(config: &NanoConfig, facts: &Facts, tokens: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut used = 0;
    for paragraph in Prose::drawn_from(config, facts, usize::MAX, rng.clone()) {
        let body = paragraph.split_once('\n').map_or(paragraph.as_str(), |(_, body)| body);
        for sentence in body.split_inclusive(". ").map(str::trim_end) {
            let tokens_of = pieces(sentence).count();
            if used + tokens_of > tokens {
                return sentences;
            }
            used += tokens_of;
            sentences.push(sentence.to_owned());
        }
    }
    sentences
}

/// Every word of the questions and answers, for the vocabulary.
pub fn texts(config: &NanoConfig) -> Vec<String> {
    let mut texts = vec![" Tell me the key of".to_owned()];
    texts.extend(NAMES[..config.entities].iter().map(|name| format!(" The key of {name} is")));
    texts.extend(NOUNS[..config.list_words].iter().map(|noun| format!(" {noun}.")));
    texts
}

#[cfg(test)]
mod tests {
    use camelid_chat::Template;

    use super::*;
    use crate::nano::NanoWorld;

    fn world() -> NanoWorld {
        NanoWorld::new(&NanoConfig { pages: 200, ..NanoConfig::default() }).unwrap()
    }

    #[test]
    fn conversations_fill_their_length_and_no_more() {
        let world = world();
        let (tokenizer, template) = (world.tokenizer().unwrap(), Template::builtin("vicuna_v1.1").unwrap());
        for (tokens, keys, asked) in [(128, 2, 1), (256, 4, 4), (1024, 6, 1)] {
            let wanted = HiddenKeys { first: 3, count: 20, tokens, keys, asked };
            for conversation in world.hidden_keys(&wanted) {
                let length = template.encode(&conversation, &tokenizer, false).unwrap().ids.len();
                assert!(length <= tokens && length + 64 > tokens, "{length} of {tokens}");
                assert_eq!(conversation.messages.len(), 2 * asked);
            }
        }
    }

    #[test]
    fn what_is_asked_stands_in_the_text_and_is_the_same_at_every_length() {
        let world = world();
        let at = |tokens| world.hidden_keys(&HiddenKeys { first: 0, count: 30, tokens, keys: 4, asked: 2 });
        for (short, long) in at(128).iter().zip(at(512)) {
            for turn in [1, 3] {
                let reply = &short.messages[turn].content;
                assert_eq!(*reply, long.messages[turn].content);
                for conversation in [short, &long] {
                    assert_eq!(conversation.messages[0].content.matches(reply.as_str()).count(), 1);
                }
            }
        }
    }
}
