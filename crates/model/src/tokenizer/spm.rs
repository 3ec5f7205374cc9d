//! GGUF vocabularies of type `llama`: SentencePiece BPE with byte fallback.
//!
//! Follows Hugging Face's `LlamaConverter`: SentencePiece joins, again and again, the
//! neighbouring pair whose joined piece has the best score, which is BPE with every
//! possible pair as a merge, ranked by score.

use tokenizers::Tokenizer;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as DecoderSequence;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BpeBuilder, Merges, Vocab};
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence};

use super::vocabulary::{Vocabulary, wrong};
use crate::error::ModelError;
use crate::gguf::GgufFile;

/// SentencePiece's visible space.
const SPACE: &str = "▁";

/// The tokenizer without its special tokens, and whether it begins texts with bos by
/// default (it does).
pub(super) fn build(file: &GgufFile, vocabulary: &Vocabulary) -> Result<(Tokenizer, bool), ModelError> {
    let ids = vocabulary.ids();
    let merges = merges_by_score(vocabulary.tokens, read_scores(file, vocabulary)?, &ids);
    let mut model = BpeBuilder::new().vocab_and_merges(ids, merges).fuse_unk(true).byte_fallback(true);
    if let Some((_, unknown)) = vocabulary.token(file, "tokenizer.ggml.unknown_token_id")? {
        model = model.unk_token(unknown.into());
    }
    let model = model.build().map_err(|e| wrong(file, e))?;

    let prefixed = file.optional_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
    if prefixed {
        normalizers.push(Prepend::new(SPACE.into()).into());
    }
    normalizers.push(Replace::new(" ", SPACE).map_err(|e| wrong(file, e))?.into());
    let mut decoders: Vec<DecoderWrapper> = vec![
        Replace::new(SPACE, " ").map_err(|e| wrong(file, e))?.into(),
        ByteFallback::new().into(),
        Fuse::new().into(),
    ];
    if prefixed {
        decoders.push(Strip::new(' ', 1, 0).into());
    }

    let mut tokenizer = Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(Sequence::new(normalizers)))
        .map_err(|e| wrong(file, e))?
        .with_decoder(Some(DecoderSequence::new(decoders)));
    Ok((tokenizer, true))
}

fn read_scores<'a>(file: &'a GgufFile, vocabulary: &Vocabulary) -> Result<&'a [f64], ModelError> {
    let key = "tokenizer.ggml.scores";
    let scores = file.floats(key)?;
    if scores.len() != vocabulary.tokens.len() {
        return Err(wrong(
            file,
            format!(
                "`{key}` has {} elements, expected one for each of {} tokens",
                scores.len(),
                vocabulary.tokens.len()
            ),
        ));
    }
    match scores.iter().position(|score| score.is_nan()) {
        Some(at) => Err(wrong(file, format!("`{key}` has NaN at {at}, expected a number"))),
        None => Ok(scores),
    }
}

/// Every way to join two tokens to a third, best score first; among equal scores the
/// pair with the longer left part, then the longer right part, first (the order of
/// Hugging Face's `generate_merges`, whose sort is stable as this one is).
fn merges_by_score(tokens: &[String], scores: &[f64], ids: &Vocab) -> Merges {
    struct Candidate<'a> {
        left: &'a str,
        right: &'a str,
        score: f64,
        /// Lengths in characters, as Python counts.
        lengths: (usize, usize),
    }
    let mut candidates = Vec::new();
    for (token, &score) in tokens.iter().zip(scores) {
        let mut of_token = Vec::new();
        let count = token.chars().count();
        for (before, (at, _)) in token.char_indices().enumerate().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&l), Some(&r)) = (ids.get(left), ids.get(right)) {
                let lengths = (before, count - before);
                of_token.push(((l, r), Candidate { left, right, score, lengths }));
            }
        }
        of_token.sort_by_key(|(ids, _)| *ids);
        candidates.extend(of_token.into_iter().map(|(_, candidate)| candidate));
    }
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.lengths.cmp(&a.lengths)));
    candidates.into_iter().map(|c| (c.left.into(), c.right.into())).collect()
}
