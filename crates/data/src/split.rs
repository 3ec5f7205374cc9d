//! Train and test: a fixed part of the conversations is set apart for evaluation.

use std::collections::HashMap;

use camelid_chat::{Conversation, Role};

use crate::DataError;

/// Conversations to learn from and conversations to evaluate on.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSplit {
    /// To learn from.
    pub train: Vec<Conversation>,
    /// To evaluate on; no two begin with the same prompt.
    pub test: Vec<Conversation>,
    /// Left out of both: they begin with the prompt of a test conversation.
    pub set_aside: usize,
}

/// Splits off `test` conversations, always the same for the same input.
///
/// Conversations that begin with the same user message stay together, since one
/// is often the beginning of the other (the paths through one OASST1 tree, for
/// one): whole groups are taken, spread evenly over the input, the longest
/// conversation of each is evaluated on and the rest of the group is set aside.
///
/// # Errors
/// [`DataError::Option`] when there are not more than `test` different first
/// prompts, or `test` is 0.
pub fn split(conversations: Vec<Conversation>, test: usize) -> Result<TestSplit, DataError> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Vec<Conversation>> = Vec::new();
    for conversation in conversations {
        let next = groups.len();
        let place = *places.entry(first_prompt(&conversation)).or_insert(next);
        match groups.get_mut(place) {
            Some(group) => group.push(conversation),
            None => groups.push(vec![conversation]),
        }
    }
    let total = groups.len();
    if test == 0 || test >= total {
        return Err(DataError::Option(format!(
            "cannot set {test} conversations of {total} with different first prompts apart for testing"
        )));
    }
    let mut parts = TestSplit { train: Vec::new(), test: Vec::new(), set_aside: 0 };
    for (i, mut group) in groups.into_iter().enumerate() {
        let is_test = (i + 1) * test / total > i * test / total;
        if !is_test {
            parts.train.append(&mut group);
            continue;
        }
        parts.set_aside += group.len() - 1;
        let longest = (0..group.len()).max_by_key(|&i| (group[i].messages.len(), usize::MAX - i));
        parts.test.extend(longest.map(|i| group.swap_remove(i)));
    }
    Ok(parts)
}

/// The first user message, white space aside.
fn first_prompt(conversation: &Conversation) -> String {
    let prompt = conversation.messages.iter().find(|message| message.role == Role::User);
    prompt
        .map_or_else(String::new, |message| message.content.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn conversation(id: usize, prompt: &str, turns: usize) -> Conversation {
        let mut conversation = Conversation::new(format!("c{id}"));
        for turn in 0..turns {
            let text = if turn == 0 { prompt.to_string() } else { format!("{prompt} {turn}") };
            conversation.push(Role::User, text);
            conversation.push(Role::Assistant, "reply");
        }
        conversation
    }

    #[test]
    fn no_first_prompt_is_on_both_sides() {
        let all: Vec<_> =
            (0..90).map(|i| conversation(i, &format!("prompt {}", i % 40), 1 + i % 3)).collect();
        let parts = split(all.clone(), 10).unwrap();
        let prompts = |side: &[Conversation]| side.iter().map(first_prompt).collect::<HashSet<_>>();
        assert_eq!(parts.test.len(), 10);
        assert_eq!(prompts(&parts.test).len(), 10);
        assert!(prompts(&parts.test).is_disjoint(&prompts(&parts.train)));
        assert_eq!(parts.train.len() + parts.test.len() + parts.set_aside, 90);
        assert_eq!(split(all, 10).unwrap(), parts);
    }

    #[test]
    fn the_longest_conversation_of_a_group_is_evaluated_on() {
        let all = vec![conversation(0, " a  b", 1), conversation(1, "a b ", 3), conversation(2, "c", 1)];
        let parts = split(all, 1).unwrap();
        let ids = |side: &[Conversation]| side.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
        assert!(ids(&parts.test) == ["c1"] || ids(&parts.test) == ["c2"]);
        if ids(&parts.test) == ["c1"] {
            assert_eq!((ids(&parts.train), parts.set_aside), (vec!["c2".to_string()], 1));
        }
    }

    #[test]
    fn too_many_to_test_on_is_an_error() {
        let all = vec![conversation(0, "a", 1), conversation(1, "b", 1)];
        assert!(split(all.clone(), 2).is_err());
        assert!(split(all, 0).is_err());
    }
}
