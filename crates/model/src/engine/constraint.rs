//! Text that has to be JSON, of a schema, or of a grammar.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use tokenizers::Tokenizer;
use toktrie::{ApproximateTokEnv, SimpleVob, TokEnv, TokRxInfo, TokTrie};

use crate::config::LlamaConfig;
use crate::error::ModelError;
use crate::tokenizer::token_bytes;

/// What a text has to be. Tokens that cannot lead there are never taken (llguidance).
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// A JSON object.
    JsonObject,
    /// JSON that a schema describes.
    JsonSchema(Value),
    /// A text that a regular expression matches from its start to its end, in the syntax of the
    /// `regex` crate without look-around.
    Regex(String),
    /// A text of a grammar in llguidance's variant of Lark.
    Lark(String),
}

impl Constraint {
    fn grammar(&self) -> TopLevelGrammar {
        match self {
            Self::JsonObject => TopLevelGrammar::from_json_schema(json!({"type": "object"})),
            Self::JsonSchema(schema) => TopLevelGrammar::from_json_schema(schema.clone()),
            Self::Regex(regex) => TopLevelGrammar::from_regex(regex),
            Self::Lark(grammar) => TopLevelGrammar::from_lark(grammar.clone()),
        }
    }
}

/// Makes constraints for one vocabulary.
pub(super) struct Constraints {
    factory: ParserFactory,
}

impl Constraints {
    /// For the tokens of a model.
    pub fn new(tokenizer: &Tokenizer, config: &LlamaConfig) -> Result<Self, ModelError> {
        let Some(end) = config.eos_token_ids.first() else {
            return Err(refused("the model has no end token, without which no text is ever complete"));
        };
        let mut words = token_bytes(tokenizer);
        words.resize(config.vocab_size, None);
        let words: Vec<Vec<u8>> = words.into_iter().map(Option::unwrap_or_default).collect();
        let trie = TokTrie::from(&TokRxInfo::new(config.vocab_size as u32, *end), &words);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie.with_eos_tokens(&config.eos_token_ids)));
        let mut factory = ParserFactory::new_simple(&env).map_err(refused)?;
        factory.quiet();
        Ok(Self { factory })
    }

    /// A constraint at the start of its text.
    pub fn start(&self, constraint: &Constraint) -> Result<Constrained, ModelError> {
        let parser = self.factory.create_parser(constraint.grammar()).map_err(refused)?;
        let ends = self.factory.tok_env().tok_trie().eos_tokens().to_vec();
        Ok(Constrained { matcher: Matcher::new(Ok(parser)), ends })
    }
}

/// A constraint and the text so far.
pub(super) struct Constrained {
    matcher: Matcher,
    ends: Vec<u32>,
}

impl Constrained {
    /// Rules out the tokens that cannot come next. Where the text may end, so may it by `stop_ids`.
    pub fn mask(&mut self, logits: &mut [f32], stop_ids: &[u32]) -> Result<(), ModelError> {
        let allowed: SimpleVob = self.matcher.compute_mask_or_eos().map_err(refused)?;
        let may_end = self.ends.iter().any(|id| allowed.is_allowed(*id));
        for (id, logit) in logits.iter_mut().enumerate() {
            let id = id as u32;
            if !(allowed.is_allowed(id) || may_end && stop_ids.contains(&id)) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Whether `id` ends the text rather than being part of it.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// Goes on by a token; says whether nothing can follow it.
    pub fn push(&mut self, id: u32) -> Result<bool, ModelError> {
        self.matcher.consume_token(id).map_err(refused)?;
        Ok(self.matcher.is_stopped())
    }
}

fn refused(problem: impl std::fmt::Display) -> ModelError {
    ModelError::Constraint { problem: problem.to_string() }
}
