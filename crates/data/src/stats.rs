//! How many conversations, turns, characters and tokens there are.

use camelid_chat::{Conversation, Role};
use serde::Serialize;
use tokenizers::Tokenizer;

use crate::DataError;

/// Figures over conversations.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Conversations.
    pub conversations: usize,
    /// Those with a system message.
    pub with_system: usize,
    /// Those that end with a question.
    pub unanswered: usize,
    /// Different first questions; fewer than conversations where some come again.
    pub first_questions: usize,
    /// Turns of a conversation, the system message not counted.
    pub turns: Spread,
    /// Characters of all messages of a conversation.
    pub characters: Spread,
    /// Characters of the user's messages.
    pub user_characters: Spread,
    /// Characters of the assistant's messages.
    pub assistant_characters: Spread,
    /// Tokens of all messages of a conversation, without those that a template adds; `None` without a
    /// tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Spread>,
}

/// How a count is spread over conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The sum.
    pub total: u64,
    /// The smallest.
    pub min: u64,
    /// The median; the lower of the two in the middle.
    pub median: u64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The largest.
    pub max: u64,
}

impl Spread {
    fn of(mut counts: Vec<u64>) -> Self {
        counts.sort_unstable();
        let (Some(&min), Some(&max)) = (counts.first(), counts.last()) else { return Self::default() };
        let total: u64 = counts.iter().sum();
        let median = counts[(counts.len() - 1) / 2];
        Self { total, min, median, mean: total as f64 / counts.len() as f64, max }
    }
}

impl Stats {
    /// Counts.
    ///
    /// # Errors
    /// A text that the tokenizer refuses, with the conversation's id.
    pub fn of(conversations: &[Conversation], tokenizer: Option<&Tokenizer>) -> Result<Self, DataError> {
        let spread = |count: &dyn Fn(&Conversation) -> usize| {
            Spread::of(conversations.iter().map(|conversation| count(conversation) as u64).collect())
        };
        let characters = |of: &dyn Fn(Role) -> bool| {
            spread(&|conversation| {
                let messages = conversation.messages.iter().filter(|message| of(message.role));
                messages.map(|message| message.content.chars().count()).sum()
            })
        };
        let count = |is: &dyn Fn(&Conversation) -> bool| conversations.iter().filter(|c| is(c)).count();
        let first_questions: std::collections::HashSet<_> = conversations
            .iter()
            .filter_map(|c| c.messages.iter().find(|message| message.role == Role::User))
            .map(|message| message.content.as_str())
            .collect();
        Ok(Self {
            conversations: conversations.len(),
            with_system: count(&|c| c.messages.iter().any(|message| message.role == Role::System)),
            unanswered: count(&|c| c.messages.last().is_some_and(|message| message.role == Role::User)),
            first_questions: first_questions.len(),
            turns: spread(&|c| c.messages.iter().filter(|message| message.role != Role::System).count()),
            characters: characters(&|_| true),
            user_characters: characters(&|role| role == Role::User),
            assistant_characters: characters(&|role| role == Role::Assistant),
            tokens: tokenizer.map(|tokenizer| tokens(conversations, tokenizer)).transpose()?,
        })
    }
}

fn tokens(conversations: &[Conversation], tokenizer: &Tokenizer) -> Result<Spread, DataError> {
    let mut counts = Vec::with_capacity(conversations.len());
    for conversation in conversations {
        let mut count = 0;
        for message in &conversation.messages {
            let encoded = tokenizer.encode_fast(message.content.as_str(), false).map_err(|error| {
                DataError::Tokenizer(format!("conversation {}: {error}", conversation.id))
            })?;
            count += encoded.len() as u64;
        }
        counts.push(count);
    }
    Ok(Spread::of(counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_a_hand_count() {
        let mut first = Conversation::new("a");
        first.push(Role::System, "Be kind.");
        first.push(Role::User, "né");
        first.push(Role::Assistant, "12345");
        let mut second = first.clone();
        second.messages.remove(0);
        second.push(Role::User, "x");
        let stats = Stats::of(&[first, second], None).unwrap();
        assert_eq!((stats.with_system, stats.unanswered, stats.first_questions), (1, 1, 1));
        assert_eq!(stats.turns, Spread { total: 5, min: 2, median: 2, mean: 2.5, max: 3 });
        assert_eq!((stats.characters.total, stats.characters.max), (8 + 2 + 5 + 2 + 5 + 1, 15));
        assert_eq!((stats.user_characters.total, stats.assistant_characters.total), (5, 10));
        assert_eq!(Stats::of(&[], None).unwrap(), Stats::default());
    }
}
