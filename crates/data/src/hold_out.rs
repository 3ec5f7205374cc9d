//! A fixed part of the conversations, set apart for evaluation.

use std::collections::HashMap;

use camelid_chat::{Conversation, Role};

use crate::DataError;

/// Conversations to learn from and conversations to evaluate on.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// To learn from.
    pub train: Vec<Conversation>,
    /// To evaluate on; no two begin with the same prompt.
    pub held_out: Vec<Conversation>,
    /// Left out of both: they begin with the prompt of a held-out conversation.
    pub set_aside: usize,
}

/// Holds out `count` conversations, always the same for the same input.
///
/// Conversations that begin with the same user message stay together, since one
/// is often the beginning of the other (the paths through one OASST1 tree, for
/// one): whole groups are taken, spread evenly over the input, the longest
/// conversation of each is evaluated on and the rest of the group is set aside.
///
/// # Errors
/// [`DataError::Option`] when there are not more than `count` different first
/// prompts, or `count` is 0.
pub fn hold_out(conversations: Vec<Conversation>, count: usize) -> Result<HeldOut, DataError> {
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
    if count == 0 || count >= total {
        return Err(DataError::Option(format!(
            "cannot hold out {count} conversations of {total} with different first prompts"
        )));
    }
    let mut split = HeldOut { train: Vec::new(), held_out: Vec::new(), set_aside: 0 };
    for (i, mut group) in groups.into_iter().enumerate() {
        let is_held_out = (i + 1) * count / total > i * count / total;
        if !is_held_out {
            split.train.append(&mut group);
            continue;
        }
        split.set_aside += group.len() - 1;
        let longest = (0..group.len()).max_by_key(|&i| (group[i].messages.len(), usize::MAX - i));
        split.held_out.extend(longest.map(|i| group.swap_remove(i)));
    }
    Ok(split)
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
        let split = hold_out(all.clone(), 10).unwrap();
        let prompts = |side: &[Conversation]| side.iter().map(first_prompt).collect::<HashSet<_>>();
        assert_eq!(split.held_out.len(), 10);
        assert_eq!(prompts(&split.held_out).len(), 10);
        assert!(prompts(&split.held_out).is_disjoint(&prompts(&split.train)));
        assert_eq!(split.train.len() + split.held_out.len() + split.set_aside, 90);
        assert_eq!(hold_out(all, 10).unwrap(), split);
    }

    #[test]
    fn the_longest_conversation_of_a_group_is_evaluated_on() {
        let all = vec![conversation(0, " a  b", 1), conversation(1, "a b ", 3), conversation(2, "c", 1)];
        let split = hold_out(all, 1).unwrap();
        let ids = |side: &[Conversation]| side.iter().map(|c| c.id.clone()).collect::<Vec<_>>();
        assert!(ids(&split.held_out) == ["c1"] || ids(&split.held_out) == ["c2"]);
        if ids(&split.held_out) == ["c1"] {
            assert_eq!((ids(&split.train), split.set_aside), (vec!["c2".to_string()], 1));
        }
    }

    #[test]
    fn too_many_to_hold_out_is_an_error() {
        let all = vec![conversation(0, "a", 1), conversation(1, "b", 1)];
        assert!(hold_out(all.clone(), 2).is_err());
        assert!(hold_out(all, 0).is_err());
    }
}
