//! One conversation through the checks, as they were meant.

use std::borrow::Cow;

use camelid_chat::Role;
use serde_json::{Map, Value};

use super::markdown;
use crate::clean::judged::{Cleaned, Judged};
use crate::clean::options::CleanOptions;
use crate::clean::personal::{Masked, mask};
use crate::clean::rule::{Cut, CutRule, Finding, Rule, span};
use crate::fields::{self, Problem, Short};
use crate::turns::{SPEAKERS, TEXTS};

type Turn<'a> = Cow<'a, Map<String, Value>>;

/// What stood in an answer's place when the service refused.
const REFUSED: [&str; 3] = [
    "Too many requests in 1 hour. Try again later.",
    "Something went wrong. If this issue persists please contact us",
    "An error occurred. Either the engine you requested does not exist or there was another issue processing your request.",
];

/// Turns through the checks. A system message may come first and stays; an assistant's turn before
/// the first question is left out; an empty turn ends the conversation before its round.
///
/// # Errors
/// [`Problem`] where a turn has no speaker that is known, or no text.
pub fn judge(turns: &[Turn], options: &CleanOptions) -> Result<(Judged, Masked), Problem> {
    let mut read = Vec::with_capacity(turns.len());
    for (index, turn) in turns.iter().enumerate() {
        read.push((role(turn, index)?, text(turn, index)?));
    }
    let rounds_in =
        read.windows(2).filter(|pair| pair[0].0 == Role::User && pair[1].0 == Role::Assistant).count();
    let mut masked = Masked::new();
    let mut cuts = Vec::new();
    let outcome = check(&read, rounds_in, options, &mut cuts, &mut masked);
    let rounds_out = outcome
        .as_ref()
        .map_or(0, |turns: &Vec<Cleaned>| turns.iter().filter(|turn| turn.speaker == "gpt").count());
    Ok((Judged { outcome, cuts, rounds_in, rounds_out }, masked))
}

fn check(
    turns: &[(Role, &str)],
    rounds_in: usize,
    options: &CleanOptions,
    cuts: &mut Vec<Cut>,
    masked: &mut Masked,
) -> Result<Vec<Cleaned>, Finding> {
    let system = usize::from(turns.first().is_some_and(|(role, _)| *role == Role::System));
    let leading = turns[system..].iter().take_while(|(role, _)| *role == Role::Assistant).count();
    if leading > 0 {
        cuts.push(Cut { rule: CutRule::LeadingAnswer, turn: system + 1, turns: leading, rounds: 0 });
    }
    let begin = system + leading;
    let mut end = turns.len();
    if end > begin && turns[end - 1].0 == Role::User {
        cuts.push(Cut { rule: CutRule::TrailingQuestion, turn: end, turns: 1, rounds: 0 });
        end -= 1;
    }
    let mut cleaned: Vec<Cleaned> = Vec::with_capacity(end - leading);
    let mut characters = 0;
    let mut expected = Role::User;
    let order = (0..system).chain(begin..end);
    for index in order {
        let (role, raw) = turns[index];
        if index >= begin {
            if role != expected {
                let detail = format!("{}'s turn is expected, it is {}'s", expected.as_str(), role.as_str());
                return Err(Finding::at(Rule::WrongFormat, index).with(detail));
            }
            expected = if role == Role::User { Role::Assistant } else { Role::User };
        }
        let text = markdown(raw, role)
            .map_err(|error| Finding::at(Rule::ParserError, index).with(error.to_string()))?;
        if let Some(word) = options.blocked.find(&text) {
            let mut finding = Finding::at(Rule::BlockedWord, index).with(word.as_str().to_lowercase());
            finding.span = Some(span(&text, word.range()));
            return Err(finding);
        }
        if role == Role::Assistant
            && REFUSED.iter().any(|notice| text.trim_start_matches('!').starts_with(notice))
        {
            return Err(Finding::at(Rule::BlockedWord, index).with("an error message in the answer's place"));
        }
        if text.is_empty() && role == Role::System {
            continue;
        }
        if text.is_empty() {
            let asked = usize::from(role == Role::Assistant);
            cleaned.truncate(cleaned.len() - asked);
            let kept = cleaned.iter().filter(|turn| turn.speaker == "gpt").count();
            let turn = index + 1 - asked;
            cuts.push(Cut {
                rule: CutRule::EmptyTurn,
                turn,
                turns: end + 1 - turn,
                rounds: rounds_in - kept,
            });
            break;
        }
        let text = if options.mask_personal { mask(&text, masked) } else { text };
        characters += text.chars().count();
        cleaned.push(Cleaned { speaker: speaker(role).into(), text });
    }
    let answered = cleaned.iter().any(|turn| turn.speaker == "gpt");
    if characters < 16 || !answered {
        return Err(Finding::whole(Rule::TooShort));
    }
    Ok(cleaned)
}

/// ShareGPT's names of the three roles.
fn speaker(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "human",
        Role::Assistant => "gpt",
    }
}

fn role(turn: &Turn, index: usize) -> Result<Role, Problem> {
    let from = fields::first(turn, &SPEAKERS).map(|(_, from)| from);
    let known = from.and_then(Value::as_str).and_then(Role::from_name);
    known.ok_or_else(|| {
        let found = from.map_or_else(|| "missing".to_owned(), |from| Short(from).to_string());
        Problem::with("unknown speaker", format!("`from` of turn {} is {found}", index + 1))
    })
}

fn text<'t>(turn: &'t Turn, index: usize) -> Result<&'t str, Problem> {
    match fields::first(turn, &TEXTS).map(|(_, text)| text) {
        Some(Value::String(text)) => Ok(text),
        other => {
            let found = other.map_or_else(|| "missing".to_owned(), |other| Short(other).to_string());
            Err(Problem::with("a turn without text", format!("`value` of turn {} is {found}", index + 1)))
        }
    }
}
