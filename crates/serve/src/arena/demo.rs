//! Made-up players for an arena that needs no download: each answers by the same small rules, from
//! better to worse.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use camelid_chat::{GenerateOptions, GeneratedText, Message, Role, TextGenerator};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::player::{Card, Player};
use super::replay::give;

/// How good a made-up player is.
#[derive(Clone, Copy, PartialEq)]
enum Quality {
    /// Takes up the question and answers it in order.
    Thorough,
    /// The same in a few sentences.
    Brief,
    /// Says much that has little to do with the question.
    Rambling,
    /// Strings the question's own words together.
    Babbling,
}

const PLAYERS: [(&str, Quality); 4] = [
    ("nettle", Quality::Thorough),
    ("thistle", Quality::Brief),
    ("bramble", Quality::Rambling),
    ("burdock", Quality::Babbling),
];

struct MadeUp {
    quality: Quality,
    pause: Duration,
}

/// Four made-up players; `pause` passes between two words.
pub fn players(pause: Duration) -> Vec<Player> {
    let card = Card {
        organization: "made up".to_owned(),
        licence: "MIT OR Apache-2.0".to_owned(),
        ..Card::default()
    };
    let player = |(name, quality): (&str, Quality)| Player {
        card: card.clone(),
        ..Player::new(name, Arc::new(MadeUp { quality, pause }))
    };
    PLAYERS.into_iter().map(player).collect()
}

impl TextGenerator for MadeUp {
    fn generate(
        &self,
        messages: &[Message],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<GeneratedText, Box<dyn std::error::Error + Send + Sync>> {
        let asked = messages.iter().rev().find(|message| message.role == Role::User);
        let question = asked.map_or("", |message| message.content.as_str());
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        Ok(give(&self.quality.answer(question, &mut rng), self.pause, on_text))
    }
}

/// Words too common to be what a question is about.
const COMMON: [&str; 40] = [
    "what", "which", "when", "where", "that", "this", "with", "from", "have", "does", "your", "about",
    "would", "could", "should", "there", "their", "them", "then", "than", "they", "will", "into", "some",
    "such", "please", "tell", "write", "give", "name", "explain", "describe", "make", "how", "why", "who",
    "are", "the", "and", "for",
];

/// The longest words of a question that are not common, in their order; what it is about.
fn topics(question: &str) -> Vec<String> {
    let words = question.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 2);
    let mut topics: Vec<String> = Vec::new();
    for word in words.map(str::to_lowercase) {
        if !COMMON.contains(&word.as_str()) && !topics.contains(&word) {
            topics.push(word);
        }
    }
    topics.truncate(4);
    if topics.is_empty() {
        topics.push("your question".to_owned());
    }
    topics
}

const STEPS: [&str; 6] = [
    "say what is known of {} and what is not",
    "look at {} from the side of whoever needs it",
    "compare {} with the nearest thing that people know",
    "take one small example of {} and work it through",
    "ask what would change if {} were missing",
    "write down what follows for {}",
];

const ASIDES: [&str; 6] = [
    "There are many opinions, and each has something to it.",
    "It depends, as so much does.",
    "My neighbour's goat once ate a map of the whole valley.",
    "One could go on about it for hours, and some do.",
    "Weather has an influence too, though a small one.",
    "In former times people saw it differently, or did not see it at all.",
];

impl Quality {
    fn answer(self, question: &str, rng: &mut ChaCha8Rng) -> String {
        let topics = topics(question);
        let topic = |rng: &mut ChaCha8Rng| topics[rng.random_range(0..topics.len())].clone();
        match self {
            Self::Thorough => {
                let all = topics.join(", ");
                let mut text = format!("This is a question about **{all}**. In order:\n\n");
                let first = rng.random_range(0..STEPS.len());
                for number in 0..3 {
                    let step = STEPS[(first + number) % STEPS.len()].replace("{}", &topic(rng));
                    let word = ["First", "Then", "Last"][number];
                    text += &format!("{}. {word}, {step}.\n", number + 1);
                }
                text + &format!("\nIn short: start small, check each step, and keep {} in sight.", topics[0])
            }
            Self::Brief => {
                let step = STEPS[rng.random_range(0..STEPS.len())].replace("{}", &topic(rng));
                format!("The best way is to {step}. The rest follows from there.")
            }
            Self::Rambling => {
                let mut text = format!("Ah, {}.", topic(rng));
                for _ in 0..4 {
                    text.push(' ');
                    text += ASIDES[rng.random_range(0..ASIDES.len())];
                }
                text
            }
            Self::Babbling => {
                let mut words: Vec<String> = Vec::new();
                for _ in 0..rng.random_range(8..20) {
                    words.push(topic(rng));
                }
                words.join(" ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use camelid_ratings::TextRules;

    use super::*;

    #[test]
    fn players_answer_differently_the_same_for_a_seed_and_never_say_who_they_are() {
        let players = players(Duration::ZERO);
        let names: Vec<&str> = players.iter().map(|player| player.name.as_str()).collect();
        let rules = TextRules::default().with_models(&names);
        let answer = |player: &Player, seed| {
            let options = GenerateOptions { seed, ..GenerateOptions::default() };
            let question = [Message::new(Role::User, "How do birds find their way?")];
            player.generator.generate(&question, &options, &mut |_| ControlFlow::Continue(())).unwrap().text
        };
        for player in &players {
            assert_eq!(answer(player, 3), answer(player, 3));
            for seed in 0..50 {
                assert_eq!(
                    rules.fault([("How do birds find their way?", answer(player, seed).as_str())]),
                    None
                );
            }
        }
        assert!(answer(&players[0], 1).contains("birds, find, way"));
        assert_ne!(answer(&players[0], 1), answer(&players[1], 1));
    }
}
