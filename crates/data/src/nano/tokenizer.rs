//! The world's tokenizer: one token a word, bytes for the rest.

use std::collections::BTreeSet;

use camelid_chat::byte_to_char;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::{NanoError, NanoWorld};

/// Beginning of a document or dialogue, id 0.
pub const BOS: &str = "<s>";
/// End of a document or reply, id 1.
pub const EOS: &str = "</s>";
/// Padding, id 2.
pub const PAD: &str = "<pad>";

/// How text is cut before look-up: the mark of a heading or turn, a line break with
/// the indentation of a program's line, a word with the space before it, single digits,
/// single signs, single white space.
const PIECES: &str = r"###|\n(?: {4})+| ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9]|\s";
/// One level of indentation.
const INDENTATION: &str = "    ";

/// Tokens of prose read to learn the vocabulary: enough to meet every word.
const SAMPLE_TOKENS: usize = 60_000;

/// A byte-level BPE without merges that takes whole pieces from its vocabulary
/// (`ignore_merges`, as LLaMA 3's) and spells everything else in bytes. It is
/// built, not trained, so the same world always gives the same ids. Its
/// post-processor puts `<s>` before a text.
pub fn build(world: &NanoWorld) -> Result<Tokenizer, NanoError> {
    assemble(vocabulary(world)).map_err(|error| NanoError::Tokenizer(error.to_string()))
}

/// Tokens in the order of their ids: specials, bytes, words.
fn vocabulary(world: &NanoWorld) -> Vec<String> {
    let mut bytes: Vec<char> = (0..=u8::MAX).map(byte_to_char).collect();
    bytes.sort_unstable();
    let words: BTreeSet<String> = world
        .sample_texts(SAMPLE_TOKENS)
        .iter()
        .flat_map(|text| pieces(text))
        .map(byte_level_form)
        .filter(|piece| piece.chars().count() > 1)
        .collect();
    let specials = [BOS, EOS, PAD].map(String::from);
    specials.into_iter().chain(bytes.iter().map(char::to_string)).chain(words).collect()
}

/// A piece as the byte-level alphabet writes it.
fn byte_level_form(piece: &str) -> String {
    piece.bytes().map(byte_to_char).collect()
}

fn assemble(vocabulary: Vec<String>) -> tokenizers::Result<Tokenizer> {
    let ids = vocabulary.into_iter().zip(0..).collect();
    let mut model = BPE::new(ids, Vec::new());
    model.ignore_merges = true;
    let mut tokenizer = Tokenizer::new(model);
    let split = Split::new(SplitPattern::Regex(PIECES.into()), SplitDelimiterBehavior::Isolated, false)?;
    tokenizer.with_pre_tokenizer(Some(Sequence::new(vec![
        PreTokenizerWrapper::Split(split),
        PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, false, false)),
    ])));
    tokenizer.with_decoder(Some(ByteLevel::new(false, false, false)));
    tokenizer.add_special_tokens([BOS, EOS, PAD].map(|token| AddedToken::from(token, true)))?;
    tokenizer.with_post_processor(Some(
        TemplateProcessing::builder()
            .try_single(format!("{BOS} $A"))?
            .try_pair(format!("{BOS} $A {BOS}:1 $B:1"))?
            .special_tokens(vec![(BOS, 0)])
            .build()?,
    ));
    Ok(tokenizer)
}

/// The pieces [`PIECES`] cuts an ASCII text into, without a regex: prose is
/// counted while it is written.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (piece, after) = rest.split_at(piece_len(rest, first));
        rest = after;
        Some(piece)
    })
}

fn piece_len(text: &str, first: char) -> usize {
    if text.starts_with("###") {
        return 3;
    }
    if let Some(line) = text.strip_prefix('\n')
        && line.starts_with(INDENTATION)
    {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        return 1 + blanks / INDENTATION.len() * INDENTATION.len();
    }
    let space = usize::from(first == ' ');
    let mut body = text[space..].chars();
    match body.next() {
        Some(c) if c.is_ascii_alphabetic() => 1 + space + body.take_while(char::is_ascii_alphabetic).count(),
        Some(c) if !c.is_whitespace() => space + c.len_utf8(),
        _ => first.len_utf8(),
    }
}
