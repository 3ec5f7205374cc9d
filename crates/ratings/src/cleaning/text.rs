//! What the texts of a battle give away.

use serde::{Deserialize, Serialize};

use super::words::WordSplitter;

/// Something in the texts for which a vote does not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFault {
    /// A model said who it is, or was asked: the word.
    Identity(String),
    /// An answer is an error's text: its words.
    Failed(String),
    /// An answer is empty, or was still being written.
    Unfinished,
}

/// Words that give a model away, and words of errors.
#[derive(Debug, Clone)]
pub struct TextRules {
    identity: Vec<Vec<String>>,
    names: Vec<Vec<String>>,
    errors: Vec<String>,
}

/// Makers and families of models that people know. Those that are also everyday words are listed only
/// where they cannot be meant otherwise ("google bard", "palm 2").
const IDENTITY: [&str; 46] = [
    "vicuna",
    "guanaco",
    "wizardlm",
    "alpaca 13b",
    "lmsys",
    "koala 13b",
    "uc berkeley",
    "open assistant",
    "openassistant",
    "laion",
    "chatglm",
    "chatgpt",
    "gpt",
    "gpt 3",
    "gpt 4",
    "gpt 3 5",
    "openai",
    "anthropic",
    "claude",
    "google bard",
    "palm 2",
    "lamda",
    "trained by google",
    "gemini",
    "llama",
    "qianwen",
    "qwen",
    "alibaba",
    "mistral",
    "mixtral",
    "zhipu",
    "keg lab",
    "01 ai",
    "ai2",
    "tülu",
    "tulu",
    "deepseek",
    "nous hermes",
    "cohere",
    "dbrx",
    "databricks",
    "made by meta",
    "meta ai",
    "dolly v2",
    "fastchat t5",
    "grok",
];

/// Questions about who answers, as their words come one after the other.
const ASKING: [&str; 18] = [
    "who are you",
    "what are you",
    "who made you",
    "who created you",
    "who built you",
    "who trained you",
    "who developed you",
    "what is your name",
    "what s your name",
    "which model are you",
    "what model are you",
    "which ai are you",
    "which llm are you",
    "what llm are you",
    "are you chatgpt",
    "are you gpt",
    "what version are you",
    "which version are you",
];

/// Words that a server writes where an answer should be.
const ERRORS: [&str; 6] = [
    "network error due to high traffic",
    "i'm sorry, but i can't assist with that due to an internal error",
    "the input content does not conform to the relevant policy",
    "your request has been blocked by the content filter",
    "something went wrong while answering",
    "cuda out of memory",
];

/// The mark that FastChat's page shows behind a text that is still being written.
const CURSOR: char = '▌';

impl Default for TextRules {
    fn default() -> Self {
        Self {
            identity: IDENTITY.iter().map(|phrase| WordSplitter::words(phrase)).collect(),
            names: Vec::new(),
            errors: ERRORS.iter().map(|&text| text.to_owned()).collect(),
        }
    }
}

impl TextRules {
    /// The same with the names of the arena's own models, which give them away as well.
    pub fn with_models<S: AsRef<str>>(mut self, models: &[S]) -> Self {
        self.names = models
            .iter()
            .map(|name| WordSplitter::words(name.as_ref()))
            .filter(|name| !name.is_empty())
            .collect();
        self
    }

    /// The first fault of a conversation: what was asked and what was answered, turn by turn.
    pub fn fault<'a>(&self, turns: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<TextFault> {
        turns.into_iter().find_map(|(prompt, answer)| {
            self.of_answer(answer).or_else(|| {
                let asked = WordSplitter::words(prompt);
                let asks = ASKING.iter().find(|phrase| contains(&asked, &WordSplitter::words(phrase)))?;
                Some(TextFault::Identity((*asks).to_owned()))
            })
        })
    }

    fn of_answer(&self, answer: &str) -> Option<TextFault> {
        if answer.trim().is_empty() || answer.trim_end().ends_with(CURSOR) {
            return Some(TextFault::Unfinished);
        }
        let lower = answer.to_lowercase();
        if let Some(error) = self.errors.iter().find(|error| lower.contains(*error)) {
            return Some(TextFault::Failed(error.clone()));
        }
        let said = WordSplitter::words(answer);
        let phrases = self.identity.iter().chain(&self.names);
        let found = phrases.into_iter().find(|phrase| contains(&said, phrase))?;
        Some(TextFault::Identity(found.join(" ")))
    }
}

/// Whether the words of `phrase` come one after the other.
fn contains(words: &[String], phrase: &[String]) -> bool {
    !phrase.is_empty() && words.windows(phrase.len()).any(|window| window == phrase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(prompt: &str, answer: &str) -> Option<TextFault> {
        TextRules::default().with_models(&["tinker-7b"]).fault([(prompt, answer)])
    }

    #[test]
    fn models_that_say_who_they_are_are_found_as_whole_words() {
        for answer in [
            "I am Vicuna, a model by LMSYS.",
            "As a language model trained by OpenAI, I cannot.",
            "I'm GPT-4.",
            "My name is Tinker 7B!",
            "I was built at UC Berkeley.",
        ] {
            assert!(matches!(fault("Hi", answer), Some(TextFault::Identity(_))), "{answer}");
        }
    }

    #[test]
    fn everyday_words_cost_no_vote() {
        for answer in [
            "They bombard the town.",
            "A palm tree and a koala.",
            "A coherent text by a databricklayer.",
            "Search for it with Google.",
            "The bard sang of hermes.",
        ] {
            assert_eq!(fault("Hi", answer), None, "{answer}");
        }
        // What the user names is no leak: only the question of who answers is.
        assert_eq!(fault("Does Google own Android? And Claude Monet?", "It does."), None);
        assert_eq!(
            fault("Tell me, who made you?", "People."),
            Some(TextFault::Identity("who made you".to_owned()))
        );
    }

    #[test]
    fn errors_and_unfinished_answers_are_told_apart() {
        let error = "**NETWORK ERROR DUE TO HIGH TRAFFIC. PLEASE REGENERATE OR REFRESH THIS PAGE.**";
        assert!(matches!(fault("Hi", error), Some(TextFault::Failed(_))));
        assert_eq!(fault("Hi", "And then▌"), Some(TextFault::Unfinished));
        assert_eq!(fault("Hi", "  "), Some(TextFault::Unfinished));
        assert_eq!(fault("Hi", "Hello."), None);
    }
}
