//! Judge prompts: our own, FastChat's, or the user's, with placeholders in the subset of Python's
//! format strings that they use.

use std::collections::BTreeSet;
use std::path::Path;

use super::error::JudgeError;
use super::records;
use super::verdict::OutputFormat;
use camelid_files::Input;
use camelid_files::digest::Sum;
use serde::{Deserialize, Serialize};

const OWN: &str = include_str!("../../judge/prompts.toml");

/// How many answers a prompt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptKind {
    /// One answer, to be graded.
    Single,
    /// Two answers, to be compared.
    Pairwise,
}

/// What a prompt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Case {
    /// How the verdict is given, and with it whether one or two answers are shown.
    pub output: OutputFormat,
    /// A reference answer is shown.
    pub reference: bool,
    /// The second turn is judged.
    pub second_turn: bool,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.output {
            OutputFormat::Rating => "one answer, graded",
            OutputFormat::Winner => "two answers, the better one named",
            OutputFormat::TwoRatings => "two answers, both graded",
        };
        let reference = if self.reference { "with a reference" } else { "without a reference" };
        let turn = if self.second_turn { "second turn" } else { "first turn" };
        write!(f, "{kind}, {reference}, {turn}")
    }
}

/// A prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgePrompt {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub case: Case,
    /// The system message; none is sent when it is empty.
    pub system: String,
    /// The user message.
    pub template: Template,
    /// SHA-256 of system message and template, in hexadecimal.
    pub hash: String,
}

/// Prompts, one a case.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptSet {
    /// Where they come from.
    pub name: String,
    prompts: Vec<JudgePrompt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PromptsFile {
    prompt: Vec<Record>,
}

/// A line of FastChat's `judge_prompts.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    #[serde(rename = "type")]
    kind: PromptKind,
    system_prompt: String,
    prompt_template: String,
    output_format: OutputFormat,
    /// FastChat's words about it.
    #[serde(default, rename = "description")]
    _description: Option<String>,
    /// FastChat's `general` or `math`; the placeholders say the same.
    #[serde(default, rename = "category")]
    _category: Option<String>,
}

impl PromptSet {
    /// The prompts that come with this crate (`judge/prompts.toml`): grades, verdicts on pairs for
    /// both turns, and pairs of grades for one turn, each with and without a reference.
    ///
    /// # Errors
    /// Only if this crate were damaged.
    pub fn own() -> Result<Self, JudgeError> {
        Self::from_toml(OWN, "camelid", Path::new("judge/prompts.toml"))
    }

    /// Reads prompts: FastChat's `judge_prompts.jsonl`, or a `.toml` file like our own.
    ///
    /// # Errors
    /// [`JudgeError::File`], [`JudgeError::Record`]; [`JudgeError::Prompt`] for
    /// a template that is damaged, lacks an answer or has a placeholder that nothing fills, and
    /// for two prompts that serve the same case.
    pub fn read(path: &Path) -> Result<Self, JudgeError> {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if path.extension().is_some_and(|e| e == "toml") {
            let text = Input::open(path)?.text()?;
            return Self::from_toml(&text, &name, path);
        }
        let records = records::read::<Record>(path, "a judge prompt")?;
        Self::new(&name, records.into_iter().map(|(_, record)| record))
    }

    fn from_toml(text: &str, name: &str, path: &Path) -> Result<Self, JudgeError> {
        let file: PromptsFile =
            toml::from_str(text).map_err(|error| JudgeError::content(path, error.to_string()))?;
        Self::new(name, file.prompt)
    }

    fn new(name: &str, records: impl IntoIterator<Item = Record>) -> Result<Self, JudgeError> {
        let mut prompts: Vec<JudgePrompt> = Vec::new();
        for record in records {
            let prompt = JudgePrompt::new(record)?;
            if let Some(other) = prompts.iter().find(|p| p.case == prompt.case) {
                let message = format!("serves the same case as `{}`: {}", other.name, prompt.case);
                return Err(JudgeError::Prompt { prompt: prompt.name, message });
            }
            prompts.push(prompt);
        }
        Ok(Self { name: name.to_owned(), prompts })
    }

    /// The prompt for a case.
    ///
    /// # Errors
    /// [`JudgeError::NoPrompt`].
    pub fn get(&self, case: Case) -> Result<&JudgePrompt, JudgeError> {
        let found = self.prompts.iter().find(|prompt| prompt.case == case);
        found.ok_or_else(|| JudgeError::NoPrompt { set: self.name.clone(), case: case.to_string() })
    }

    /// All prompts, in the order of their file.
    pub fn prompts(&self) -> &[JudgePrompt] {
        &self.prompts
    }
}

impl JudgePrompt {
    fn new(record: Record) -> Result<Self, JudgeError> {
        let wrong = |message: String| JudgeError::Prompt { prompt: record.name.clone(), message };
        let template = Template::parse(&record.prompt_template).map_err(&wrong)?;
        let names = template.placeholders();
        let case = Case {
            output: record.output_format,
            reference: names.contains("ref_answer_1"),
            second_turn: names.contains("question_2"),
        };
        let pairwise = case.output != OutputFormat::Rating;
        if pairwise != (record.kind == PromptKind::Pairwise) {
            return Err(wrong("its `type` and its `output_format` do not go together".to_owned()));
        }
        let needed: &[&str] = match (pairwise, case.second_turn) {
            (false, false) => &["question", "answer"],
            (false, true) => &["question_2", "answer_2"],
            (true, false) => &["question", "answer_a", "answer_b"],
            (true, true) => &["question_2", "answer_a_2", "answer_b_2"],
        };
        let allowed: &[&str] = match (pairwise, case.second_turn) {
            (false, false) => &["ref_answer_1"],
            (false, true) => &["question_1", "answer_1", "ref_answer_1", "ref_answer_2"],
            (true, false) => &["ref_answer_1"],
            (true, true) => &["question_1", "answer_a_1", "answer_b_1", "ref_answer_1", "ref_answer_2"],
        };
        if let Some(missing) = needed.iter().find(|name| !names.contains(*name)) {
            return Err(wrong(format!("its template lacks `{{{missing}}}`")));
        }
        if let Some(unknown) = names.iter().find(|name| !needed.contains(name) && !allowed.contains(name)) {
            let known = [needed, allowed].concat().join(", ");
            return Err(wrong(format!("nothing fills `{{{unknown}}}`; placeholders are {known}")));
        }
        // A byte that no text holds keeps the two apart.
        let mut sum = Sum::default();
        sum.add(&record.system_prompt).add([0xff]).add(&record.prompt_template);
        let hash = sum.finish();
        Ok(Self { name: record.name, case, system: record.system_prompt, template, hash })
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Placeholder(String),
}

/// A text with placeholders: `{name}` is one, `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// A sentence about a brace that is not closed or not opened, or a placeholder that is no plain
    /// name (Python's positions, attributes, conversions and formats are not understood).
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err("a `}` that closes nothing; a brace itself is written `}}`".to_owned());
            }
            let Some(end) = after.find('}') else {
                return Err("a `{` that is not closed; a brace itself is written `{{`".to_owned());
            };
            let name = &after[..end];
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!("`{{{name}}}` is no placeholder; expected a plain name"));
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Placeholder(name.to_owned()));
            rest = &after[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// The names of the placeholders.
    pub fn placeholders(&self) -> BTreeSet<&str> {
        let names = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        });
        names.collect()
    }

    /// The text with every placeholder replaced; braces in what replaces it stay as they are.
    ///
    /// # Errors
    /// The name of a placeholder for which `value` has nothing.
    pub fn fill<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Placeholder(name) => text.push_str(value(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: &str, format: &str, template: &str) -> Result<PromptSet, JudgeError> {
        let text = format!(
            "[[prompt]]\nname = \"own\"\ntype = \"{kind}\"\noutput_format = \"{format}\"\n\
             system_prompt = \"\"\nprompt_template = \"{template}\"\n"
        );
        PromptSet::from_toml(&text, "own", Path::new("own.toml"))
    }

    #[test]
    fn our_own_prompts_serve_every_case_of_two_turns() {
        let own = PromptSet::own().unwrap();
        for output in [OutputFormat::Rating, OutputFormat::Winner] {
            for (reference, second_turn) in [(false, false), (false, true), (true, false), (true, true)] {
                let prompt = own.get(Case { output, reference, second_turn }).unwrap();
                assert_eq!(prompt.hash.len(), 64);
            }
        }
        let both = Case { output: OutputFormat::TwoRatings, reference: false, second_turn: false };
        assert!(own.get(both).is_ok() && own.get(Case { reference: true, ..both }).is_ok());
        let error = own.get(Case { second_turn: true, ..both }).unwrap_err().to_string();
        assert!(error.contains("camelid") && error.contains("second turn"), "{error}");
        let hashes: std::collections::HashSet<&str> = own.prompts().iter().map(|p| p.hash.as_str()).collect();
        assert_eq!(hashes.len(), own.prompts().len());
    }

    #[test]
    fn a_prompt_that_cannot_be_filled_is_refused() {
        for (kind, format, template, expected) in [
            ("single", "[[rating]]", "{question}", "lacks `{answer}`"),
            ("single", "[[rating]]", "{question} {answer} {mood}", "nothing fills `{mood}`"),
            ("single", "[[rating]]", "{question} {answer} {ref_answer_2}", "nothing fills `{ref_answer_2}`"),
            ("single", "[[A]]", "{question} {answer}", "do not go together"),
            ("pairwise", "[[A]]", "{question} {answer_a}", "lacks `{answer_b}`"),
            ("pairwise", "[[A]]", "{question} {answer_a} {", "not closed"),
            ("pairwise", "[[Z]]", "{question}", "[[Z]]"),
        ] {
            let error = record(kind, format, template).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let one = "[[prompt]]\nname = \"a\"\ntype = \"single\"\noutput_format = \"[[rating]]\"\n\
                   system_prompt = \"\"\nprompt_template = \"{question} {answer}\"\n";
        let error = PromptSet::from_toml(&one.repeat(2), "own", Path::new("own.toml")).unwrap_err();
        assert!(error.to_string().contains("serves the same case as `a`"), "{error}");
    }

    #[test]
    fn placeholders_are_filled_and_nothing_else() {
        let template = Template::parse("Q: {question}\n{{json}} {answer}{answer}}}").unwrap();
        assert_eq!(template.placeholders().into_iter().collect::<Vec<_>>(), ["answer", "question"]);
        let filled = template.fill(|name| match name {
            "question" => Some("what is {answer}?"),
            "answer" => Some("{}"),
            _ => None,
        });
        assert_eq!(filled.unwrap(), "Q: what is {answer}?\n{json} {}{}}");
        assert_eq!(template.fill(|_| None).unwrap_err(), "question");
    }

    #[test]
    fn what_python_would_not_format_is_refused() {
        for (text, expected) in [
            ("a } b", "closes nothing"),
            ("a { b", "not closed"),
            ("{}", "`{}` is no placeholder"),
            ("{answer:>3}", "`{answer:>3}`"),
            ("{answer.text}", "`{answer.text}`"),
        ] {
            assert!(Template::parse(text).unwrap_err().contains(expected), "{text}");
        }
    }
}
