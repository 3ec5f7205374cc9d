//! Questions from their text.

use super::super::lexicon::{ATTRIBUTES, FORMAT_WORDS, NAMES, NOUNS};
use super::super::task::{LetterOp, ListOp, Task};
use super::questions::{DATA_FORMS, DataForm, Demand, Part, Questions, SHORTEST_LIST};

impl Questions {
    /// The questions of a text; `None` for a text that is none of the world's, to the byte.
    pub fn parse(text: &str) -> Option<Self> {
        let (plain, data) = without_data_form(text);
        let mut read = Self { parts: Vec::new(), demands: Vec::new(), data };
        for sentence in plain.split_inclusive(['?', '.']).map(str::trim) {
            match demand(sentence) {
                Some(demand) => read.demands.push(demand),
                None => read.parts.push(part(sentence)?),
            }
        }
        (!read.parts.is_empty() && read.text() == text).then_some(read)
    }
}

/// The text with its list written plainly, and the form that the list had.
fn without_data_form(text: &str) -> (String, Option<DataForm>) {
    for form in DATA_FORMS {
        let found = text.split_once(form.before).and_then(|(before, rest)| {
            let (list, after) = rest.split_once(form.after)?;
            Some(format!("{before}{list}{after}"))
        });
        if let Some(plain) = found {
            return (plain, Some(form));
        }
    }
    (text.to_owned(), None)
}

fn demand(sentence: &str) -> Option<Demand> {
    if sentence == "Say it twice." {
        return Some(Demand::Twice);
    }
    let (what, word) = sentence.strip_suffix('.')?.split_once(" with ")?;
    match what {
        "Begin" => Some(Demand::Begin(index(word, &NOUNS)?)),
        "End" => Some(Demand::End(index(word, &NOUNS)?)),
        _ => None,
    }
}

fn part(sentence: &str) -> Option<Part> {
    if let Some(topic) = sentence.strip_prefix("Tell me ") {
        return Some(Part { task: topic_of(topic.strip_suffix('.')?)?, second_wording: true });
    }
    let task =
        question(sentence).or_else(|| topic_of(sentence.strip_prefix("What is ")?.strip_suffix('?')?))?;
    Some(Part { task, second_wording: false })
}

/// A question about a person, or about the first or last of several.
fn question(sentence: &str) -> Option<Task> {
    ATTRIBUTES.iter().enumerate().find_map(|(attribute, kind)| {
        let (before, after) = kind.question.split_once("{N}")?;
        whose(sentence.strip_prefix(before)?.strip_suffix(after)?, attribute)
    })
}

fn whose(people: &str, attribute: usize) -> Option<Task> {
    if let Some(entity) = index(people, &NAMES) {
        return Some(Task::Fact { entity, attribute });
    }
    let (place, names) = people.strip_prefix("the ")?.split_once(" of ")?;
    let last = match place {
        "first" => false,
        "last" => true,
        _ => return None,
    };
    Some(Task::FactOfList { last, entities: indices(names, &NAMES)?, attribute })
}

fn topic_of(topic: &str) -> Option<Task> {
    let Some(described) = topic.strip_prefix("the ") else { return sum(topic) };
    let (what, of) = described.split_once(" of ").or_else(|| described.split_once(" in "))?;
    let list = |op| Some(Task::List { op, words: indices(of, &NOUNS)? });
    let letter = |op| Some(Task::Letter { op, word: spelled(of)? });
    match what {
        "first word" => list(ListOp::First),
        "second word" => list(ListOp::Second),
        "last word" => list(ListOp::Last),
        "reverse" => list(ListOp::Reverse),
        "first letter" => letter(LetterOp::Begin),
        "last letter" => letter(LetterOp::End),
        "number" => number_of(of),
        _ => {
            let attribute = ATTRIBUTES.iter().position(|kind| kind.noun == what)?;
            whose(of, attribute)
        }
    }
}

/// "letters of fox", "words in fox drum plum", the latter perhaps with "plus 3".
fn number_of(what: &str) -> Option<Task> {
    if let Some(word) = what.strip_prefix("letters of ") {
        return Some(Task::Letter { op: LetterOp::Length, word: spelled(word)? });
    }
    let list = what.strip_prefix("words in ")?;
    match list.split_once(" plus ") {
        Some((list, add)) => {
            Some(Task::CountAndAdd { words: indices(list, &NOUNS)?, add: add.parse().ok()? })
        }
        None => Some(Task::List { op: ListOp::Count, words: indices(list, &NOUNS)? }),
    }
}

/// `3 + 4 - 2`
fn sum(expression: &str) -> Option<Task> {
    let mut words = expression.split(' ');
    let start = words.next()?.parse().ok()?;
    let mut steps = Vec::new();
    while let Some(sign) = words.next() {
        let operand: i32 = words.next()?.parse().ok()?;
        steps.push(match sign {
            "+" => operand,
            "-" => -operand,
            _ => return None,
        });
    }
    (!steps.is_empty()).then_some(Task::Number { start, steps })
}

fn indices(list: &str, words: &[&str]) -> Option<Vec<usize>> {
    let found: Vec<usize> = list.split(' ').map(|word| index(word, words)).collect::<Option<_>>()?;
    (found.len() >= SHORTEST_LIST).then_some(found)
}

fn index(word: &str, words: &[&str]) -> Option<usize> {
    words.iter().position(|known| *known == word)
}

fn spelled(word: &str) -> Option<&'static str> {
    NOUNS.iter().chain(&FORMAT_WORDS).find(|known| **known == word).copied()
}
