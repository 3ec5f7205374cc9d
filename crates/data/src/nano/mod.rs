//! The nano world: a small made-up world for experiments that need no download.
//!
//! People live in towns and wear colours; numbers add up; lists have first and
//! last words. Prose states all of it, for pre-training. Trees of dialogue ask
//! about it, for tuning, with ranked replies as in OASST1. Some tasks are never
//! asked in tuning (a hash of their operands decides) and make up the
//! evaluation, scored by exact match. Prose never has the form of a dialogue: a
//! model that has only read it knows the answers but not how to give them.
//!
//! ```
//! use camelid_data::nano::{NanoConfig, NanoWorld, score};
//!
//! let world = NanoWorld::new(&NanoConfig::default())?;
//! let paragraph = world.pretraining_text(1000).next().unwrap();
//! let tokenizer = world.tokenizer()?;
//! assert!(tokenizer.encode(paragraph, true).unwrap().len() < 200);
//!
//! let question = &world.eval_items()[0];
//! assert!(score(&question.expected, &question.expected));
//! assert!(!score("I do not know.", &question.expected));
//! # Ok::<(), camelid_data::nano::NanoError>(())
//! ```

pub mod code;
mod config;
mod dialogue;
mod evaluation;
mod facts;
mod instruction;
mod keys;
mod lexicon;
mod pages;
mod prose;
mod split;
mod task;
mod tokenizer;

pub use config::{NanoConfig, NanoError};
pub use evaluation::{EvalItem, score};
pub use instruction::{
    Change, CheckedAnswer, CheckedStep, Domain, Instruction, Questions, Slip, StepVerdict,
};
pub use keys::HiddenKeys;
pub use pages::{ChatItem, Exercise, Fault, Page, PageTurn, Skill};
pub use task::Family;
pub use tokenizer::{BOS, EOS, PAD};

use camelid_chat::Conversation;
use facts::Facts;
use prose::Prose;

use crate::oasst::{MessageNode, MessageTree};

/// A world: its table of facts and the texts drawn from it.
#[derive(Clone, Debug)]
pub struct NanoWorld {
    config: NanoConfig,
    facts: Facts,
}

impl NanoWorld {
    /// The world of a configuration.
    ///
    /// # Errors
    /// A dial outside its range, by name.
    pub fn new(config: &NanoConfig) -> Result<Self, NanoError> {
        config.validate()?;
        Ok(Self { config: config.clone(), facts: Facts::draw(config) })
    }

    /// The configuration.
    pub fn config(&self) -> &NanoConfig {
        &self.config
    }

    /// Paragraphs for pre-training, about `tokens` tokens of [`NanoWorld::tokenizer`]
    /// in all, `<s>` and `</s>` around each included. A paragraph is a document of
    /// its own: frame it so, since `</s>` is learnt nowhere else before tuning.
    pub fn pretraining_text(&self, tokens: usize) -> impl Iterator<Item = String> + use<> {
        Prose::new(&self.config, &self.facts, tokens)
    }

    /// Dialogue trees for tuning. Ranks run from 0, the good reply; the trees
    /// pass through [`crate::oasst`]'s filters and selections like OASST1's own.
    pub fn trees(&self) -> Vec<MessageTree> {
        dialogue::trees(&self.config, &self.facts)
    }

    /// Held-out questions with their answers; none occurs in [`NanoWorld::trees`].
    pub fn eval_items(&self) -> Vec<EvalItem> {
        evaluation::eval_items(&self.config, &self.facts)
    }

    /// Raw pages of conversations, with their faults, to be cleaned as ShareGPT's were.
    pub fn pages(&self) -> Vec<Page> {
        pages::pages(&self.config, &self.facts)
    }

    /// Single exercises over the same skills, as Alpaca's data are.
    pub fn exercises(&self, count: usize) -> Vec<Exercise> {
        pages::exercises(&self.config, &self.facts, count)
    }

    /// Held-out questions of conversations; none is asked in [`NanoWorld::pages`].
    pub fn chat_items(&self) -> Vec<ChatItem> {
        pages::chat_items(&self.config, &self.facts)
    }

    /// Conversations about keys hidden in prose, for contexts of any length.
    pub fn hidden_keys(&self, wanted: &HiddenKeys) -> Vec<Conversation> {
        keys::conversations(&self.config, &self.facts, wanted)
    }

    /// The world's tokenizer: every word of the world is one token, digits are
    /// single tokens, other text is spelled in bytes. Specials are `<s>` (0),
    /// `</s>` (1) and `<pad>` (2).
    ///
    /// # Errors
    /// Only if the `tokenizers` library refuses the parts.
    pub fn tokenizer(&self) -> Result<tokenizers::Tokenizer, NanoError> {
        tokenizer::build(self)
    }

    /// Texts in which every word of the world occurs.
    fn sample_texts(&self, prose_tokens: usize) -> Vec<String> {
        let mut texts: Vec<String> = self.pretraining_text(prose_tokens).collect();
        // Turns as templates write them, with the space before each message.
        texts.push("### Human:### Assistant: I do not know.".to_string());
        let mut dialogue = |text: &str| texts.push(format!(" {text}"));
        for tree in self.trees() {
            visit(&tree.prompt, &mut |node| dialogue(&node.text));
        }
        for item in self.eval_items() {
            dialogue(&item.conversation.messages[0].content);
            dialogue(&item.expected);
        }
        if self.config.pages > 0 {
            texts.extend(pages::texts(&self.config, &self.facts));
            texts.extend(keys::texts(&self.config));
        }
        if self.config.instructions {
            texts.extend(self.instruction_texts());
        }
        if self.config.programs > 0 {
            texts.extend(instruction::slip_texts());
            texts.extend(code::texts(&self.config.code()));
        }
        texts
    }
}

/// Calls `f` for a message and everything below it.
fn visit(node: &MessageNode, f: &mut impl FnMut(&MessageNode)) {
    f(node);
    for reply in &node.replies {
        visit(reply, f);
    }
}

/// [`NanoWorld::tokenizer`] of a configuration.
///
/// # Errors
/// A dial outside its range.
pub fn tokenizer(config: &NanoConfig) -> Result<tokenizers::Tokenizer, NanoError> {
    NanoWorld::new(config)?.tokenizer()
}

/// [`NanoWorld::pretraining_text`] of a configuration.
///
/// # Errors
/// A dial outside its range.
pub fn pretraining_text(
    config: &NanoConfig,
    tokens: usize,
) -> Result<impl Iterator<Item = String> + use<>, NanoError> {
    Ok(NanoWorld::new(config)?.pretraining_text(tokens))
}
