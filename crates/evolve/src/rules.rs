//! The rules that end a row, one function each. The paper has four (WizardLM, arXiv 2304.12244,
//! section 3.2, "Elimination Evolving"); what it leaves open is fixed here and said with each.

use camelid_text::plain_language;
use serde::{Deserialize, Serialize};

use crate::reply::is_nothing;
use crate::words::{gist, has_phrase, is_function_word, words};

/// Why a row ended. The order is the order in which the rules are asked: what costs nothing first,
/// so that no judgement and no answer is paid for a row that ends anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The server held the text back, or refused the request as it is.
    Refused,
    /// The reply is empty, or `None`, `null` and the like.
    NoText,
    /// Self-Instruct: a piece of the reply is no task with its three parts.
    Format,
    /// The instruction reached the limit of tokens, or leaves a block of code open.
    CutOff,
    /// The evolved instruction is its parent, but for case, spaces and punctuation.
    Unchanged,
    /// Rule 4: the evolved instruction speaks of the evolver's prompt, though its parent does not.
    CopiedPrompt,
    /// The evolved instruction begins as an assistant's reply ("Sure, here is a harder version:"), or the response
    /// speaks of the assistant ("As an AI language model, …") though nobody asked about one.
    Boilerplate,
    /// The evolved instruction brings its answer along.
    AnswerInside,
    /// Self-Instruct: the instruction has too few or too many words.
    WordCount,
    /// Self-Instruct: the instruction has a word that asks for more than text.
    Barred,
    /// Self-Instruct: the instruction begins with punctuation, another script, or words that too many
    /// begin with.
    OddStart,
    /// The instruction is longer than the settings allow.
    TooLong,
    /// The instruction is plainly in another language than its parent, or than the settings ask for.
    OtherLanguage,
    /// The instruction or the response shares text with a test set.
    Contaminated,
    /// Another row has the same instruction, or another line of descent nearly the same.
    Duplicate,
    /// Self-Instruct: the instruction is like an earlier one by ROUGE-L.
    Similar,
    /// Rule 1: a judge finds nothing that the parent does not ask for.
    NoGain,
    /// The response is empty, or `None`, `null` and the like.
    NoAnswer,
    /// The response reached the limit of tokens, or leaves a block of code open.
    AnswerCutOff,
    /// Rule 2: the response says "sorry" and is short.
    Sorry,
    /// Rule 3: the response holds only punctuation and stop words.
    EmptyWords,
}

/// The rule's name in settings and lineage: `copied_prompt`.
impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

/// Why a row ended, with what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// The rule.
    pub rule: Rule,
    /// What it found: a phrase, a number, an id.
    pub found: String,
}

impl Ended {
    pub(crate) fn by(rule: Rule, found: impl Into<String>) -> Self {
        Self { rule, found: found.into() }
    }
}

/// How strict the rules are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleSettings {
    /// Rules that are not applied.
    pub off: Vec<Rule>,
    /// Rule 2: a response that says "sorry" ends its row if it has fewer words than this. Default 80.
    pub sorry_below_words: usize,
    /// Whether rule 1 is asked of in-breadth evolutions as well; the paper does not say. Default true.
    pub no_gain_in_breadth: bool,
    /// Most characters of an instruction. Default 20,000.
    pub most_characters: usize,
    /// The language (ISO 639-1) that every instruction has to be in; unless given, its parent's.
    pub language: Option<String>,
    /// Similarity from which an instruction is nearly another line's: the share of equal runs of five
    /// words, by MinHash, of texts of at least 14 words. Default 0.8; above 1, only equal ones end.
    pub near_duplicates: f64,
}

impl Default for RuleSettings {
    fn default() -> Self {
        Self {
            off: Vec::new(),
            sorry_below_words: 80,
            no_gain_in_breadth: true,
            most_characters: 20_000,
            language: None,
            near_duplicates: 0.8,
        }
    }
}

impl RuleSettings {
    /// Whether a rule is applied.
    pub fn applies(&self, rule: Rule) -> bool {
        !self.off.contains(&rule)
    }

    /// The first rule that a seed breaks: it has no parent, and its faults are its author's.
    pub fn of_seed(&self, seed: &str) -> Option<Ended> {
        self.first(&[
            (Rule::NoText, &|| is_nothing(seed).then(|| seed.trim().to_owned())),
            (Rule::TooLong, &|| self.too_long(seed)),
            (Rule::OtherLanguage, &|| self.other_language(seed, None)),
        ])
    }

    /// The first rule that an evolved instruction breaks by itself, beside its parent. `names` are
    /// what the prompts call the instruction; `cut_off` says that the limit of tokens ended it.
    pub fn of_instruction(
        &self,
        evolved: &str,
        parent: &str,
        names: &[String],
        cut_off: bool,
    ) -> Option<Ended> {
        let rules: [(Rule, &dyn Fn() -> Option<String>); 8] = [
            (Rule::NoText, &|| is_nothing(evolved).then(|| evolved.trim().to_owned())),
            (Rule::CutOff, &|| broken_off(evolved, cut_off).filter(|_| cut_off || !opens_code(parent))),
            (Rule::Unchanged, &|| gist(evolved).eq(gist(parent)).then(String::new)),
            (Rule::CopiedPrompt, &|| copied_name(evolved, parent, names)),
            (Rule::Boilerplate, &|| lead_in(evolved).filter(|_| lead_in(parent).is_none())),
            (Rule::AnswerInside, &|| answer_inside(evolved, parent)),
            (Rule::TooLong, &|| self.too_long(evolved)),
            (Rule::OtherLanguage, &|| self.other_language(evolved, Some(parent))),
        ];
        self.first(&rules)
    }

    /// The first rule that a response breaks, beside its instruction.
    pub fn of_response(&self, response: &str, instruction: &str, cut_off: bool) -> Option<Ended> {
        let rules: [(Rule, &dyn Fn() -> Option<String>); 6] = [
            (Rule::NoAnswer, &|| is_nothing(response).then(|| response.trim().to_owned())),
            (Rule::AnswerCutOff, &|| broken_off(response, cut_off)),
            (Rule::Sorry, &|| sorry(response, self.sorry_below_words)),
            (Rule::EmptyWords, &|| {
                words(response).all(|word| is_function_word(&word)).then(|| response.trim().to_owned())
            }),
            (Rule::Boilerplate, &|| speaks_of_itself(response, instruction)),
            (Rule::AnswerInside, &|| holds_answer(instruction, response)),
        ];
        self.first(&rules)
    }

    fn too_long(&self, instruction: &str) -> Option<String> {
        let characters = instruction.chars().count();
        (characters > self.most_characters).then(|| format!("{characters} characters"))
    }

    fn other_language(&self, instruction: &str, parent: Option<&str>) -> Option<String> {
        let wanted = match &self.language {
            Some(wanted) => wanted,
            None => plain_language(parent?)?,
        };
        let found = plain_language(instruction)?;
        (found != wanted).then(|| format!("{found}, not {wanted}"))
    }

    fn first(&self, rules: &[(Rule, &dyn Fn() -> Option<String>)]) -> Option<Ended> {
        let applied = rules.iter().filter(|(rule, _)| self.applies(*rule));
        applied.filter_map(|(rule, found)| Some(Ended::by(*rule, found()?))).next()
    }
}

/// A text that ends before its end.
fn broken_off(text: &str, at_limit: bool) -> Option<String> {
    if at_limit {
        return Some("at the limit of tokens".to_owned());
    }
    opens_code(text).then(|| "a block of code is left open".to_owned())
}

/// Whether a fence of code is opened and not closed.
fn opens_code(text: &str) -> bool {
    text.lines().filter(|line| line.trim_start().starts_with("```")).count() % 2 == 1
}

/// Rule 4: a name of the prompt, whatever its case and marks, that the parent does not have. An
/// instruction that is about a "given prompt" of its own may stay about it.
fn copied_name(evolved: &str, parent: &str, names: &[String]) -> Option<String> {
    names.iter().find(|name| has_phrase(evolved, name) && !has_phrase(parent, name)).cloned()
}

/// How an assistant agrees before it does what it is told.
const AGREEMENTS: [&str; 7] =
    ["sure", "certainly", "absolutely", "of course", "great", "okay", "i would be happy to"];
/// How it presents what it made.
const PRESENTATIONS: [&str; 5] = ["here is", "here's", "here are", "this is", "below is"];
/// What it calls it, were it not the instruction itself.
const PRESENTED: [&str; 8] =
    ["prompt", "task", "instruction", "question", "version", "request", "rewrite", "example"];

/// The first words of an instruction, where they are an assistant's: "Sure, …", "Certainly! …", or a line such as
/// "Here's a more complex version of the task:".
fn lead_in(instruction: &str) -> Option<String> {
    let line = instruction.trim_start().lines().next().unwrap_or_default().replace('’', "'");
    let lower = line.trim_start_matches(['*', '#', '"', ' ']).to_lowercase();
    let agrees = AGREEMENTS.iter().any(|agreement| {
        lower
            .strip_prefix(agreement)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([',', '!', '.', ':']))
    });
    let presents = PRESENTATIONS.iter().any(|words| has_start(&lower, words))
        && lower.trim_end_matches(['*', ' ']).ends_with(':')
        && PRESENTED.iter().any(|word| has_phrase(&lower, word));
    (agrees || presents).then_some(line)
}

/// Whether a text begins with these words, whole.
fn has_start(text: &str, words: &str) -> bool {
    text.strip_prefix(words).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
}

/// What assistants say of themselves.
const OF_ITSELF: [&str; 6] = [
    "as an ai",
    "as a language model",
    "as a large language model",
    "ai language model",
    "i am an ai",
    "i'm an ai",
];

/// A phrase in which the response speaks of the assistant, where the instruction speaks of none.
fn speaks_of_itself(response: &str, instruction: &str) -> Option<String> {
    let about_one =
        |text: &str| ["ai", "assistant", "language model", "chatbot"].iter().any(|it| has_phrase(text, it));
    let response = response.replace('’', "'");
    let found = OF_ITSELF.iter().find(|phrase| has_phrase(&response, phrase));
    found.filter(|_| !about_one(instruction)).map(ToString::to_string)
}

/// Headings behind which an answer stands.
const ANSWER_HEADINGS: [&str; 7] =
    ["answer", "response", "solution", "output", "sample answer", "sample response", "the answer"];

/// An answer under a heading of its own, at the end of the instruction, where the parent has no
/// such heading. A heading with nothing behind it asks for the answer and is none.
fn answer_inside(evolved: &str, parent: &str) -> Option<String> {
    let heading = |line: &str| {
        let (heading, rest) = line.split_once(':')?;
        let found = words(heading).collect::<Vec<_>>().join(" ");
        ANSWER_HEADINGS.contains(&found.as_str()).then(|| (found, rest.trim().to_owned()))
    };
    let of_parent: Vec<String> = parent.lines().filter_map(heading).map(|(found, _)| found).collect();
    let lines: Vec<&str> = evolved.lines().collect();
    lines.iter().enumerate().find_map(|(at, line)| {
        let (found, rest) = heading(line)?;
        let follows = lines[at + 1..].iter().any(|line| !line.trim().is_empty());
        let filled = !rest.trim_matches(['_', '.', '?', '*', ' ']).is_empty() || follows;
        (filled && at > 0 && !of_parent.contains(&found)).then_some(found)
    })
}

/// Fewest words of a response for which it is no chance that the instruction holds them.
const ANSWER_WORDS: usize = 8;

/// A whole response that stands in its instruction, word by word.
fn holds_answer(instruction: &str, response: &str) -> Option<String> {
    let answer: Vec<String> = words(response).collect();
    let asked: Vec<String> = words(instruction).collect();
    let held = answer.len() >= ANSWER_WORDS && asked.windows(answer.len()).any(|window| window == answer);
    held.then(|| "the response stands in the instruction".to_owned())
}

/// Rule 2: "sorry", as a word in any case, in a response of fewer words than the limit, as white
/// space divides them.
fn sorry(response: &str, below: usize) -> Option<String> {
    let count = response.split_whitespace().count();
    (count < below && has_phrase(response, "sorry")).then(|| format!("{count} words"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["given prompt", "rewritten prompt"].map(str::to_owned).to_vec()
    }

    fn of_instruction(evolved: &str, parent: &str) -> Option<Rule> {
        RuleSettings::default().of_instruction(evolved, parent, &names(), false).map(|ended| ended.rule)
    }

    fn of_response(response: &str) -> Option<Rule> {
        let ended = RuleSettings::default().of_response(response, "Name a river.", false);
        ended.map(|ended| ended.rule)
    }

    #[test]
    fn an_instruction_ends_by_the_rule_it_breaks() {
        let parent = "Name a river.";
        for (evolved, rule) in [
            ("Name two rivers of Europe.", None),
            ("", Some(Rule::NoText)),
            ("None", Some(Rule::NoText)),
            ("null", Some(Rule::NoText)),
            ("None of these rivers is long; name one that is.", None),
            ("  name a RIVER", Some(Rule::Unchanged)),
            ("As the Given  Prompt says, name two.", Some(Rule::CopiedPrompt)),
            ("#Rewritten_Prompt# two rivers", Some(Rule::CopiedPrompt)),
            ("Sure, name two rivers.", Some(Rule::Boilerplate)),
            ("Certainly!\nName two rivers.", Some(Rule::Boilerplate)),
            ("Here's a more complex version of the task:\nName two rivers.", Some(Rule::Boilerplate)),
            ("**Here is an example of a harder question:**\n\nName two rivers.", Some(Rule::Boilerplate)),
            ("Here is a list of rivers:\nRhine, Rhone. Sort it.", None),
            ("Sure-footed animals live where? Name two.", None),
            ("Great rivers flow slowly: name two.", None),
            ("Name two rivers.\nAnswer: Rhine and Rhone", Some(Rule::AnswerInside)),
            ("Name two rivers.\n**Response:**\nRhine and Rhone", Some(Rule::AnswerInside)),
            ("Name two rivers.\nAnswer:", None),
            ("Name two rivers.\nAnswer: ____", None),
            ("Answer: which of these is a river?", None),
            ("What does this print?\n```python\nprint(2)\n```", None),
            ("What does this print?\n```python\nprint(2)", Some(Rule::CutOff)),
        ] {
            assert_eq!(of_instruction(evolved, parent), rule, "{evolved:?}");
        }
        // A parent may be about a given prompt, and may have an answer that is its data.
        assert_eq!(
            of_instruction("Write a story to the given prompt, in verse.", "Write to the given prompt."),
            None
        );
        let graded = "Grade this.\nAnswer: Rhine";
        assert_eq!(of_instruction("Grade this by three criteria.\nAnswer: Rhine", graded), None);
        let long = "x ".repeat(10_001);
        assert_eq!(of_instruction(&long, parent), Some(Rule::TooLong));
        let ended = RuleSettings::default().of_instruction("Name two", parent, &names(), true).unwrap();
        assert_eq!(ended.rule, Rule::CutOff);
    }

    #[test]
    fn an_instruction_stays_in_its_language() {
        let english = "Describe how a river comes into being and why most rivers flow into the sea.";
        let german = "Beschreibe, wie ein Fluss entsteht und warum die meisten Flüsse ins Meer fließen.";
        assert_eq!(of_instruction(german, english), Some(Rule::OtherLanguage));
        assert_eq!(of_instruction(english, german), Some(Rule::OtherLanguage));
        assert_eq!(of_instruction(&format!("{german} Kurz."), german), None);
        // A few words may be in any.
        assert_eq!(of_instruction("Nenne zwei Flüsse.", english), None);
        let wanted = RuleSettings { language: Some("en".into()), ..RuleSettings::default() };
        assert_eq!(wanted.of_seed(german).unwrap().found, "de, not en");
        assert_eq!(wanted.of_seed(english), None);
    }

    #[test]
    fn a_response_ends_by_the_rule_it_breaks() {
        let long = format!("Sorry for the length. {}", "word ".repeat(76));
        assert_eq!(long.split_whitespace().count(), 80);
        for (response, rule) in [
            ("The Rhine.", None),
            ("", Some(Rule::NoAnswer)),
            ("None", Some(Rule::NoAnswer)),
            ("SORRY, I can't.", Some(Rule::Sorry)),
            ("I'm sorry, but no.", Some(Rule::Sorry)),
            ("He was not sorrysome.", None),
            (&long, None),
            (long.strip_suffix("word ").unwrap(), Some(Rule::Sorry)),
            ("As an AI language model, I name the Rhine.", Some(Rule::Boilerplate)),
            ("I’m an AI and have no rivers.", Some(Rule::Boilerplate)),
            ("As an aim, name one.", None),
            ("?!…", Some(Rule::EmptyWords)),
            ("It is, and you have it.", Some(Rule::EmptyWords)),
            // A stop list of ["20.", …] cut this one.
            ("It was built in 2020. It still stands.", None),
            ("42", None),
            ("```rust\nfn main() {", Some(Rule::AnswerCutOff)),
        ] {
            assert_eq!(of_response(response), rule, "{response:?}");
        }
    }

    #[test]
    fn an_assistant_may_speak_of_itself_where_it_is_asked_to() {
        let answer = "As an AI, I was trained on text.";
        let of =
            |asked: &str| RuleSettings::default().of_response(answer, asked, false).map(|ended| ended.rule);
        assert_eq!(of("What does an AI know?"), None);
        assert_eq!(of("What do you know?"), Some(Rule::Boilerplate));
        // A parent that begins so may stay so.
        assert_eq!(of_instruction("Sure, why not name two?", "Sure, why not name one?"), None);
    }

    #[test]
    fn sorry_is_looked_for_in_the_response_alone() {
        assert_eq!(of_instruction("Write a poem that says sorry.", "Write a poem."), None);
    }

    #[test]
    fn a_response_within_its_instruction_is_found_whichever_way_it_is_spaced() {
        let response = "The Rhine flows from the Alps to the North Sea.";
        let instruction = format!("Where does it flow?  {}", response.replace(' ', "  "));
        let ended = RuleSettings::default().of_response(response, &instruction, false);
        assert_eq!(ended.unwrap().rule, Rule::AnswerInside);
        assert_eq!(RuleSettings::default().of_response("The Rhine.", "Is it the Rhine.", false), None);
    }

    #[test]
    fn a_rule_that_is_off_is_not_asked() {
        let settings = RuleSettings { off: vec![Rule::Sorry], ..RuleSettings::default() };
        assert_eq!(settings.of_response("Sorry, no idea at all.", "x", false), None);
    }
}
