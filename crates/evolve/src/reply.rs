//! What a model's reply says, without what it repeats of the question.

use serde::{Deserialize, Serialize};

use crate::words::words;

/// The instruction in an evolver's reply: without surrounding white space, and without headings
/// that repeat the prompt's names for it (`#Rewritten Prompt#:`, `**New task:**`), before or after.
///
/// Where the reply repeats the whole form, given instruction first, what follows the last heading
/// with text behind it is the instruction. A name inside of a line is left alone: rule
/// [`CopiedPrompt`](crate::Rule::CopiedPrompt) is about that.
pub fn instruction_of(reply: &str, names: &[String]) -> String {
    let mut lines: Vec<&str> = reply.trim().lines().collect();
    while lines.last().is_some_and(|line| line.trim().is_empty() || after_heading(line, names) == Some("")) {
        lines.pop();
    }
    let last = lines.iter().rposition(|line| after_heading(line, names).is_some());
    let Some(last) = last else { return lines.join("\n").trim().to_owned() };
    let first = after_heading(lines[last], names).unwrap_or_default();
    let rest = std::iter::once(first).chain(lines[last + 1..].iter().copied());
    rest.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What stands behind the heading with which a line begins: one of the names, with marks around it
/// and a colon, perhaps with a remark in parentheses (`Rewritten Prompt(MUST contain …):`).
fn after_heading<'a>(line: &'a str, names: &[String]) -> Option<&'a str> {
    let (heading, rest) = line.split_once(':').unwrap_or((line, ""));
    // Without a colon the line has to be the heading alone, in marks.
    let marked = line.contains(':') || heading.trim_start().starts_with(['#', '*', '[']);
    let named = heading.split('(').next().unwrap_or_default();
    let found: Vec<String> = words(named).collect();
    let found = found.join(" ");
    let is_name = names.iter().any(|name| *name == found || format!("the {name}") == found);
    (marked && is_name).then(|| rest.trim_start_matches(['#', '*', ']']).trim())
}

/// What a judge of equality says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Equality {
    /// The later instruction asks for nothing that the earlier does not.
    Equal,
    /// It asks for more.
    NotEqual,
    /// The reply says neither.
    Unclear,
}

/// Reads a judge's reply: the last of `equal` and `not equal` that it says. `Not Equal` holds the word
/// `equal`, and a reply that thinks first may speak of both.
pub fn equality(reply: &str) -> Equality {
    let said: Vec<String> = words(reply).collect();
    let Some(last) = said.iter().rposition(|word| matches!(word.as_str(), "equal" | "unequal" | "notequal"))
    else {
        return Equality::Unclear;
    };
    let negated = said[last] != "equal"
        || said[..last]
            .last()
            .is_some_and(|before| matches!(before.as_str(), "not" | "n't" | "isn't" | "aren't"));
    if negated { Equality::NotEqual } else { Equality::Equal }
}

/// The difficulty that a judge gives: the only number from 1 to 10 in its reply, or the one before
/// `/10` or `out of 10`. `None` where the reply has no such number or several.
pub fn difficulty(reply: &str) -> Option<u8> {
    let reply = reply.replace("/10", " ").replace("/ 10", " ").replace("out of 10", " ");
    let numbers = reply
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map(|text| text.trim_matches('.'))
        .filter(|text| !text.is_empty());
    let mut scores = numbers.map(|text| text.parse::<u8>().ok().filter(|score| (1..=10).contains(score)));
    let first = scores.next()??;
    scores.all(|other| other == Some(first)).then_some(first)
}

/// Whether a text says nothing: empty, or a value that a program wrote for nothing.
pub fn is_nothing(text: &str) -> bool {
    matches!(
        text.trim().trim_matches(['"', '\'', '`', '.']),
        "" | "None" | "null" | "nan" | "NaN" | "N/A" | "undefined"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["given prompt", "rewritten prompt", "created prompt"].map(str::to_owned).to_vec()
    }

    #[test]
    fn headings_that_a_reply_repeats_are_taken_off() {
        for reply in [
            "Name two rivers.",
            "  #Rewritten Prompt#:\nName two rivers.\n",
            "**Rewritten Prompt:** Name two rivers.",
            "The Rewritten Prompt: Name two rivers.",
            "Rewritten Prompt(MUST contain a specific JSON data as input):\nName two rivers.",
            "#Given Prompt#:\nName a river.\n#Rewritten Prompt#:\nName two rivers.",
            // Splitting at the last tag would leave nothing of this one.
            "Name two rivers.\n#Rewritten Prompt#:",
            "#Rewritten Prompt#\nName two rivers.\n\n#Created Prompt#:\n",
        ] {
            assert_eq!(instruction_of(reply, &names()), "Name two rivers.", "{reply:?}");
        }
        let inside = "Write a rewritten prompt: then rate it.\nSecond line";
        assert_eq!(instruction_of(inside, &names()), inside);
        assert_eq!(instruction_of("#Rewritten Prompt#:", &names()), "");
    }

    #[test]
    fn not_equal_is_not_equal() {
        for (reply, said) in [
            ("Equal", Equality::Equal),
            ("equal.", Equality::Equal),
            ("EQUAL", Equality::Equal),
            ("Not Equal", Equality::NotEqual),
            ("NOT EQUAL.", Equality::NotEqual),
            ("not-equal", Equality::NotEqual),
            ("They are unequal", Equality::NotEqual),
            ("They seem equal at first, but they are not equal.", Equality::NotEqual),
            ("I cannot tell.", Equality::Unclear),
            ("The inequality holds", Equality::Unclear),
            ("", Equality::Unclear),
        ] {
            assert_eq!(equality(reply), said, "{reply:?}");
        }
    }

    #[test]
    fn a_difficulty_is_one_number_from_1_to_10() {
        for (reply, score) in [
            ("7", Some(7)),
            ("Score: 10.", Some(10)),
            ("8/10", Some(8)),
            ("6 out of 10", Some(6)),
            ("7.5", None),
            ("11", None),
            ("Between 6 and 7", None),
            ("hard", None),
        ] {
            assert_eq!(difficulty(reply), score, "{reply:?}");
        }
    }
}
