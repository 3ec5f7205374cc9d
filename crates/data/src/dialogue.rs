//! What a conversation must be, one rule for all loaders.
//!
//! After an optional system message the user and the assistant take turns, the user first, and the
//! assistant speaks at least once.
//!
//! - A first turn by the assistant answers something that was cut away: it is left out
//!   ([`FirstTurn`] can drop the conversation instead).
//! - At a blank turn (nothing but white space) the conversation ends, with the answer before it. Trees
//!   of messages keep the same rule: nothing below a blank message is used.
//! - A blank system message is none.

use std::borrow::Cow;

use camelid_chat::{Conversation, Message, Role};
use serde::{Deserialize, Serialize};

use crate::fields::Problem;

/// What to do with a conversation that begins with the assistant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstTurn {
    /// Leave its first turn out, as FastChat does.
    #[default]
    LeaveOut,
    /// Drop the conversation.
    Drop,
}

/// What to do with turns of nothing but white space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlankTurns {
    /// End the conversation before the first of them.
    #[default]
    End,
    /// Keep them, and conversations in which the assistant never speaks: for looking at data. Only an
    /// empty last answer, which is one that was not given, is left out.
    Keep,
}

/// The rules that a loader can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub first_turn: FirstTurn,
    pub blank_turns: BlankTurns,
}

/// What was done to a conversation, or read out of the ordinary, with particulars.
pub(crate) type Change = (Cow<'static, str>, Option<String>);

/// A conversation of these messages, and what was done to it.
pub(crate) fn conversation(
    id: &str,
    messages: Vec<Message>,
    rules: Rules,
) -> Result<(Conversation, Vec<Change>), Problem> {
    let mut changes: Vec<Change> = Vec::new();
    if messages.is_empty() {
        return Err(Problem::new("no turns"));
    }
    let mut system = None;
    let mut turns = messages;
    if turns[0].role == Role::System {
        let first = turns.remove(0);
        match first.content.trim().is_empty() {
            true => changes.push(("a blank system message, left out".into(), None)),
            false => system = Some(first),
        }
    }
    if turns.iter().any(|turn| turn.role == Role::System) {
        return Err(Problem::new("a system message inside the conversation"));
    }
    let begins_late = turns.len() > 1 && turns[0].role == Role::Assistant;
    if begins_late && rules.first_turn == FirstTurn::LeaveOut {
        turns.remove(0);
        changes.push(("a first turn of the assistant, left out".into(), None));
    }
    let keep = rules.blank_turns == BlankTurns::Keep;
    if keep {
        let unanswered = |turn: &&Message| turn.role == Role::Assistant && turn.content.is_empty();
        if turns.len() > 1 && turns.last().as_ref().is_some_and(unanswered) {
            turns.pop();
            changes.push(("an empty last answer, left out".into(), None));
        }
    } else if let Some(blank) = turns.iter().position(|turn| turn.content.trim().is_empty()) {
        turns.truncate(blank);
        if turns.last().is_some_and(|turn| turn.role == Role::User) {
            turns.pop();
        }
        if turns.is_empty() {
            return Err(Problem::with("blank turn", format!("turn {}", blank + 1)));
        }
        changes.push(("a blank turn, before which it now ends".into(), None));
    }
    let in_turn = [Role::User, Role::Assistant].into_iter().cycle();
    if turns.iter().zip(in_turn).any(|(turn, role)| turn.role != role) {
        return Err(Problem::new("roles do not alternate"));
    }
    if turns.len() < 2 && !keep {
        return Err(Problem::new("no assistant turn"));
    }
    let mut conversation = Conversation::new(id);
    conversation.messages = system.into_iter().chain(turns).collect();
    Ok((conversation, changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(turns: &str) -> Vec<Message> {
        let mut messages = Vec::new();
        for turn in turns.split(' ') {
            let role = match &turn[..1] {
                "s" => Role::System,
                "u" => Role::User,
                _ => Role::Assistant,
            };
            messages.push(Message::new(role, if turn.len() > 1 { " \n" } else { turn }));
        }
        messages
    }

    /// `s`, `u` and `a` are messages, `s-`, `u-` and `a-` blank ones.
    fn kept(turns: &str) -> Result<String, String> {
        match conversation("x", talk(turns), Rules::default()) {
            Ok((c, _)) => Ok(c.messages.iter().map(|m| m.content.as_str()).collect::<Vec<_>>().join(" ")),
            Err(problem) => Err(problem.reason.into_owned()),
        }
    }

    #[test]
    fn turns_alternate_and_blank_ones_end_the_conversation() {
        for (turns, expected) in [
            ("u a", "u a"),
            ("s u a u", "s u a u"),
            ("s- u a", "u a"),
            ("a u a", "u a"),
            ("s a u a", "s u a"),
            ("a- u a", "u a"),
            ("u a u a-", "u a"),
            ("u a u- a u a", "u a"),
            ("u a u a u- a", "u a u a"),
        ] {
            assert_eq!(kept(turns).as_deref(), Ok(expected), "{turns}");
        }
        for (turns, reason) in [
            ("a", "roles do not alternate"),
            ("a a u", "roles do not alternate"),
            ("u u a", "roles do not alternate"),
            ("u", "no assistant turn"),
            ("a u", "no assistant turn"),
            ("u a-", "blank turn"),
            ("u- a", "blank turn"),
            ("u s a", "a system message inside the conversation"),
        ] {
            assert_eq!(kept(turns), Err(reason.to_string()), "{turns}");
        }
    }

    #[test]
    fn a_late_beginning_can_drop_the_conversation() {
        let rules = Rules { first_turn: FirstTurn::Drop, ..Rules::default() };
        let problem = conversation("x", talk("a u a"), rules).unwrap_err();
        assert_eq!(problem.reason, "roles do not alternate");
    }

    #[test]
    fn blank_turns_are_kept_where_that_is_wanted_but_for_an_empty_last_answer() {
        let rules = Rules { blank_turns: BlankTurns::Keep, ..Rules::default() };
        let kept = |messages| conversation("x", messages, rules).map(|(c, _)| c.messages.len());
        assert_eq!(kept(talk("u- a- u a")), Ok(4));
        assert_eq!(kept(talk("u")), Ok(1));
        let empty = |role| Message::new(role, "");
        assert_eq!(kept(vec![empty(Role::User), Message::new(Role::Assistant, "a")]), Ok(2));
        assert_eq!(kept([talk("u a u"), vec![empty(Role::Assistant)]].concat()), Ok(3));
        assert_eq!(kept([talk("u"), vec![empty(Role::Assistant)], talk("u a")].concat()), Ok(4));
    }
}
