//! Text that has to be JSON, of a schema, or of a grammar.

use std::sync::{Arc, Mutex, PoisonError};

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

/// Compiled constraints that are kept: a server is asked for the same few over and over.
const KEPT: usize = 16;

/// Makes constraints for one vocabulary.
pub(super) struct Constraints {
    factory: ParserFactory,
    /// Each at the start of its text; the one asked for last is the last.
    compiled: Mutex<Vec<(Constraint, Matcher)>>,
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
        Ok(Self { factory, compiled: Mutex::default() })
    }

    /// A constraint at the start of its text.
    pub fn start(&self, constraint: &Constraint) -> Result<Constrained, ModelError> {
        let ends = self.factory.tok_env().tok_trie().eos_tokens().to_vec();
        Ok(Constrained { matcher: self.matcher(constraint)?, ends })
    }

    /// A copy of its own, compiled if it is not among those that are kept: texts that run side by side
    /// share no lexer.
    fn matcher(&self, constraint: &Constraint) -> Result<Matcher, ModelError> {
        let compiled = || self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = compiled();
            if let Some(at) = kept.iter().position(|(known, _)| known == constraint) {
                kept[at..].rotate_left(1);
                return Ok(kept[kept.len() - 1].1.deep_clone());
            }
        }
        // Outside the lock: a large grammar holds nobody up.
        let parser = self.factory.create_parser(constraint.grammar()).map_err(refused)?;
        let matcher = Matcher::new(Ok(parser));
        let mut kept = compiled();
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((constraint.clone(), matcher.deep_clone()));
        Ok(matcher)
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

#[cfg(test)]
mod tests {
    use super::*;

    const END: u32 = 256;

    fn constraints() -> Constraints {
        let config = LlamaConfig { vocab_size: 257, eos_token_ids: vec![END], ..LlamaConfig::smollm2_135m() };
        Constraints::new(&camelid_tests::byte_tokenizer(&["</s>"]), &config).unwrap()
    }

    fn kept(constraints: &Constraints) -> Vec<Constraint> {
        constraints.compiled.lock().unwrap().iter().map(|(constraint, _)| constraint.clone()).collect()
    }

    /// The tokens that can come next.
    fn next(constrained: &mut Constrained) -> Vec<u32> {
        let mut logits = [0.0; 257];
        constrained.mask(&mut logits, &[]).unwrap();
        (0..257).filter(|id| logits[*id as usize] == 0.0).collect()
    }

    #[test]
    fn texts_of_one_constraint_share_its_compilation_and_nothing_else() {
        let constraints = constraints();
        let regex = Constraint::Regex("[ab]c".into());
        let mut first = constraints.start(&regex).unwrap();
        let start = next(&mut first);
        assert_eq!(start.len(), 2);
        assert!(!first.push(start[0]).unwrap());
        let mut second = constraints.start(&regex).unwrap();
        assert_eq!(kept(&constraints), [regex]);
        assert_eq!(next(&mut second), start, "a second text starts at its start");
        let then = next(&mut first);
        assert_eq!(then.len(), 1);
        assert!(first.push(then[0]).unwrap(), "nothing follows");
        assert_eq!(next(&mut first), [END]);
        assert_eq!(next(&mut second), start);
    }

    #[test]
    fn those_asked_for_last_are_kept() {
        let constraints = constraints();
        let of = |i: usize| Constraint::Regex(format!("a{{{i}}}"));
        for i in 1..=KEPT {
            constraints.start(&of(i)).unwrap();
        }
        constraints.start(&of(1)).unwrap();
        constraints.start(&Constraint::JsonObject).unwrap();
        let want: Vec<Constraint> = (3..=KEPT).chain([1]).map(of).chain([Constraint::JsonObject]).collect();
        assert_eq!(kept(&constraints), want);
        assert!(constraints.start(&Constraint::Regex("(".into())).is_err());
        assert_eq!(kept(&constraints), want, "what cannot be read is not kept");
    }
}
