//! Task definitions: TOML files with Jinja templates.

use std::path::Path;

use camelid_files::digest;
use serde::Deserialize;

use super::error::TaskError;
use super::template::Templates;
use crate::answers::{AnswerKind, Grading, Protocol};

/// Names and texts of the built-in definitions.
const BUILTIN: [(&str, &str); 12] = [
    ("perplexity", include_str!("../../tasks/perplexity.toml")),
    ("mmlu", include_str!("../../tasks/mmlu.toml")),
    ("arc-easy", include_str!("../../tasks/arc-easy.toml")),
    ("arc-challenge", include_str!("../../tasks/arc-challenge.toml")),
    ("hellaswag", include_str!("../../tasks/hellaswag.toml")),
    ("piqa", include_str!("../../tasks/piqa.toml")),
    ("gsm8k", include_str!("../../tasks/gsm8k.toml")),
    ("math", include_str!("../../tasks/math.toml")),
    ("humaneval", include_str!("../../tasks/humaneval.toml")),
    ("mbpp", include_str!("../../tasks/mbpp.toml")),
    ("humaneval-plus", include_str!("../../tasks/humaneval-plus.toml")),
    ("mbpp-plus", include_str!("../../tasks/mbpp-plus.toml")),
];

/// A task: where its rows are, what is asked, how answers are scored.
#[derive(Debug)]
pub struct Task {
    /// What its file says.
    pub definition: Definition,
    /// SHA-256 of its file, in hexadecimal.
    pub sha256: String,
    pub(super) templates: Templates,
}

/// The content of a task file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The task's name; results are filed under it.
    pub name: String,
    /// Raised with every change that can change a score.
    pub version: u32,
    /// What is measured, in a line.
    pub about: String,
    /// Where the rows are.
    pub data: Data,
    /// What the model is shown; a text that is only scored needs none.
    #[serde(default)]
    pub prompt: Option<Prompt>,
    /// Solved examples before the question.
    #[serde(default)]
    pub shots: Option<Shots>,
    /// Scored by the log-likelihood of given answers.
    #[serde(default)]
    pub multiple_choice: Option<MultipleChoice>,
    /// Scored by the number that a generated answer ends in.
    #[serde(default)]
    pub number: Option<NumberAnswer>,
    /// Scored by the expression that a generated answer ends in.
    #[serde(default)]
    pub expression: Option<ExpressionAnswer>,
    /// Scored by running generated programs against tests.
    #[serde(default)]
    pub program: Option<ProgramAnswer>,
    /// Scored by the likelihood of a text.
    #[serde(default)]
    pub perplexity: Option<Perplexity>,
}

/// Where a task's rows are found.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Names in the catalogue of `camelid-data` under which the files can be fetched.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Files to read: the first alternative that is there.
    pub files: Vec<Files>,
    /// Fields that every row has to have.
    pub fields: Vec<String>,
    /// Template of a row's id, unique in the task.
    pub id: String,
    /// Template of the group a row belongs to (MMLU's subject); scores are also averaged over groups.
    #[serde(default)]
    pub group: Option<String>,
}

/// Data files in one form of publication.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The end of their paths; `*` stands for any characters within a component.
    pub pattern: String,
    /// The key under which each row's fields lie, where they are wrapped.
    #[serde(default)]
    pub inner: Option<String>,
}

/// What the model is shown.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// Template of what comes first, once.
    #[serde(default)]
    pub preamble: Option<String>,
    /// Template of the question.
    pub question: String,
    /// What stands between solved examples and before the question.
    #[serde(default)]
    pub separator: String,
}

/// Solved examples before the question: the first rows of their file, in its order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shots {
    /// How many, unless the run says otherwise.
    pub count: usize,
    /// Files to take them from.
    pub files: Vec<Files>,
    /// Only from the question's own group.
    #[serde(default)]
    pub same_group: bool,
    /// Template of an example's answer, after its question. Multiple choice needs none:
    /// it is the right choice as `continuation` writes it.
    #[serde(default)]
    pub answer: Option<String>,
}

/// The likeliest of given answers.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultipleChoice {
    /// Expression: the list of choices.
    pub choices: String,
    /// Expression: the right one's index, from 0.
    pub gold: String,
    /// Template of what follows the question; sees `choice`, `letter` (A, B, …) and `index`.
    pub continuation: String,
    /// Whether to score log-likelihood per character of the choice as well.
    #[serde(default)]
    pub normalised: bool,
}

/// A generated answer that ends in a number.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberAnswer {
    /// Template of the right answer; its number is read like the model's.
    pub gold: String,
    /// What precedes the final number where the model keeps to the form.
    pub marker: String,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// Texts that end an answer.
    #[serde(default)]
    pub stop: Vec<String>,
}

/// A generated answer that ends in an expression, in a box.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpressionAnswer {
    /// Template of the right answer; its expression is read like the model's.
    pub gold: String,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// Texts that end an answer.
    #[serde(default)]
    pub stop: Vec<String>,
}

/// A generated answer of either kind.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratedAnswer<'a> {
    /// How it is read and compared.
    pub grading: Grading,
    /// The name of the right answer's template.
    pub gold: &'static str,
    /// Longest answer.
    pub max_new_tokens: usize,
    /// Texts that end it.
    pub stop: &'a [String],
}

/// A generated program.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramAnswer {
    /// Template of the whole program with its tests; sees `completion`.
    pub program: String,
    /// Longest completion.
    pub max_new_tokens: usize,
    /// Texts that end a completion.
    #[serde(default)]
    pub stop: Vec<String>,
    /// The same behind a chat template, where a reply is no continuation: it may begin with a fence or
    /// repeat the prompt. Those of `stop` unless given.
    #[serde(default)]
    pub chat_stop: Option<Vec<String>>,
}

/// A text, scored in windows that slide over it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Perplexity {
    /// Template of the text.
    pub text: String,
    /// Tokens that the model sees at once; fewer where its own context is shorter.
    pub window: usize,
    /// Tokens by which the window moves; those seen before are context only. See
    /// [`RollingRequest`](crate::RollingRequest).
    pub stride: usize,
}

impl Task {
    /// Names of the built-in tasks.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// A built-in task, or the one in a `.toml` file.
    ///
    /// # Errors
    /// [`TaskError::UnknownTask`] with the names there are, [`TaskError::Io`],
    /// [`TaskError::Definition`].
    pub fn open(name_or_file: &str) -> Result<Self, TaskError> {
        if name_or_file.ends_with(".toml") {
            let path = Path::new(name_or_file);
            let text = std::fs::read_to_string(path).map_err(TaskError::io(path))?;
            return Self::from_toml(&text, name_or_file);
        }
        match BUILTIN.iter().find(|(name, _)| *name == name_or_file) {
            Some((name, text)) => Self::from_toml(text, name),
            None => Err(TaskError::UnknownTask {
                name: name_or_file.to_owned(),
                hint: nearest(name_or_file).map_or_else(String::new, |n| format!("; did you mean `{n}`?")),
                known: Self::builtin_names().collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// A task from the text of its file; `origin` names it in messages.
    ///
    /// # Errors
    /// [`TaskError::Definition`] for a missing or unknown field, or a template that does not parse.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, TaskError> {
        let wrong = |problem: String| TaskError::Definition { origin: origin.to_owned(), problem };
        let definition: Definition = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        definition.check().map_err(wrong)?;
        let templates = definition.templates().map_err(wrong)?;
        Ok(Self { definition, sha256: digest::of_bytes(text), templates })
    }

    /// Name, version and the first digits of the definition's hash.
    pub fn label(&self) -> String {
        format!("{} v{} ({})", self.definition.name, self.definition.version, &self.sha256[..12])
    }
}

impl Definition {
    /// The answer that is generated and compared, for tasks of that kind, in the way of `protocol`.
    pub fn generated(&self, protocol: Protocol) -> Option<GeneratedAnswer<'_>> {
        match (&self.number, &self.expression) {
            (Some(number), _) => Some(GeneratedAnswer {
                grading: Grading { marker: number.marker.clone(), ..protocol.grading(AnswerKind::Number) },
                gold: "number.gold",
                max_new_tokens: number.max_new_tokens,
                stop: &number.stop,
            }),
            (None, Some(expression)) => Some(GeneratedAnswer {
                grading: protocol.grading(AnswerKind::Expression),
                gold: "expression.gold",
                max_new_tokens: expression.max_new_tokens,
                stop: &expression.stop,
            }),
            (None, None) => None,
        }
    }

    fn check(&self) -> Result<(), String> {
        let named = !self.name.is_empty()
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !named || self.name.starts_with('.') {
            return Err(format!("`name` is {:?}, expected letters, digits, `-`, `_` and `.`", self.name));
        }
        let metrics = [
            self.multiple_choice.is_some(),
            self.number.is_some(),
            self.expression.is_some(),
            self.program.is_some(),
            self.perplexity.is_some(),
        ];
        let metrics = metrics.iter().filter(|there| **there).count();
        if metrics != 1 {
            return Err(format!(
                "has {metrics} of the tables `multiple_choice`, `number`, `expression`, `program`, `perplexity`; expected one"
            ));
        }
        if self.perplexity.is_none() && self.prompt.is_none() {
            return Err("missing field `prompt`".into());
        }
        if self.data.files.is_empty() {
            return Err("`data.files` is empty, expected at least one pattern".into());
        }
        if let Some(shots) = &self.shots {
            if self.perplexity.is_some() {
                return Err("`shots` have no place before a text that is only scored".into());
            }
            if self.multiple_choice.is_none() && shots.answer.is_none() {
                return Err("missing field `shots.answer`".into());
            }
        }
        if self.perplexity.as_ref().is_some_and(|p| p.window < 2) {
            return Err("`perplexity.window` is below 2 tokens".into());
        }
        if let Some(p) = &self.perplexity
            && !(1..=p.window).contains(&p.stride)
        {
            return Err(format!(
                "`perplexity.stride` is {}, expected 1 to the window's {} tokens",
                p.stride, p.window
            ));
        }
        let longest = self.generated(Protocol::Camelid).map(|answer| answer.max_new_tokens);
        if longest.or(self.program.as_ref().map(|p| p.max_new_tokens)) == Some(0) {
            return Err("`max_new_tokens` is 0, expected at least 1".into());
        }
        Ok(())
    }

    fn templates(&self) -> Result<Templates, String> {
        let mut templates = Templates::new();
        let mut add = |name, source: Option<&String>| source.map_or(Ok(()), |s| templates.add(name, s));
        add("data.id", Some(&self.data.id))?;
        add("data.group", self.data.group.as_ref())?;
        add("prompt.preamble", self.prompt.as_ref().and_then(|p| p.preamble.as_ref()))?;
        add("prompt.question", self.prompt.as_ref().map(|p| &p.question))?;
        add("shots.answer", self.shots.as_ref().and_then(|s| s.answer.as_ref()))?;
        add("multiple_choice.continuation", self.multiple_choice.as_ref().map(|m| &m.continuation))?;
        add("number.gold", self.number.as_ref().map(|n| &n.gold))?;
        add("expression.gold", self.expression.as_ref().map(|e| &e.gold))?;
        add("program.program", self.program.as_ref().map(|p| &p.program))?;
        add("perplexity.text", self.perplexity.as_ref().map(|p| &p.text))?;
        if let Some(m) = &self.multiple_choice {
            templates.check_expression("multiple_choice.choices", &m.choices)?;
            templates.check_expression("multiple_choice.gold", &m.gold)?;
        }
        Ok(templates)
    }
}

/// The built-in name that is most like a misspelt one.
fn nearest(name: &str) -> Option<&'static str> {
    Task::builtin_names()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(similarity, _)| *similarity > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
        name = "sums"
        version = 1
        about = "sums"
        [data]
        files = [{ pattern = "sums.jsonl" }]
        fields = ["q", "a"]
        id = "{{ row }}"
        [prompt]
        question = "{{ q }}"
        [number]
        gold = "{{ a }}"
        marker = '####'
        max_new_tokens = 8
    "#;

    fn error(text: &str) -> String {
        Task::from_toml(text, "sums.toml").unwrap_err().to_string()
    }

    #[test]
    fn every_builtin_task_reads() {
        for name in Task::builtin_names() {
            assert_eq!(Task::open(name).unwrap().definition.name, name);
        }
        let unknown = Task::open("gsm8").unwrap_err().to_string();
        assert!(unknown.contains("did you mean `gsm8k`?") && unknown.contains("hellaswag"), "{unknown}");
    }

    #[test]
    fn a_missing_field_is_named_with_its_file() {
        assert!(Task::from_toml(WHOLE, "sums.toml").is_ok());
        for (line, field) in [
            ("name = \"sums\"", "name"),
            ("version = 1", "version"),
            ("fields = [\"q\", \"a\"]", "fields"),
            ("id = \"{{ row }}\"", "id"),
            ("question = \"{{ q }}\"", "question"),
            ("marker = '####'", "marker"),
        ] {
            assert!(WHOLE.contains(line));
            let said = error(&WHOLE.replace(line, ""));
            assert!(said.contains("sums.toml") && said.contains(&format!("`{field}`")), "{field}: {said}");
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let said = error(&WHOLE.replace("version = 1", "version = 1\nvresion = 2"));
        assert!(said.contains("vresion"), "{said}");
        let said = error(&WHOLE.replace("marker =", "markre = 1\nmarker ="));
        assert!(said.contains("markre"), "{said}");
    }

    #[test]
    fn contradictions_are_named() {
        let perplexity = "[perplexity]\ntext = \"{{ q }}\"\nwindow = 4\nstride = 9";
        assert!(error(&format!("{WHOLE}\n{perplexity}")).contains("expected one"));
        let head = WHOLE.split("[prompt]").next().unwrap();
        assert!(error(&format!("{head}\n{perplexity}")).contains("perplexity.stride"));
        assert!(error(head).contains("0 of the tables"));
        assert!(error(&WHOLE.replace("{{ q }}", "{{ q")).contains("prompt.question"));
        let shots = "[shots]\ncount = 1\nfiles = []";
        assert!(error(&format!("{WHOLE}\n{shots}")).contains("shots.answer"));
    }
}
