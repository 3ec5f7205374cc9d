//! GGUF vocabularies of type `gpt2`: byte-level BPE.

use tokenizers::models::bpe::{BpeBuilder, Merges, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, Tokenizer};

use super::vocabulary::{Vocabulary, wrong};
use crate::error::ModelError;
use crate::gguf::GgufFile;

/// How text is cut before merging, named by `tokenizer.ggml.pre`.
struct PreTokenization {
    names: &'static [&'static str],
    /// Patterns whose matches are cut out, one after the other.
    cuts: &'static [&'static str],
    /// Whether GPT-2's own pattern follows them.
    then_gpt2: bool,
    /// Whether a piece that is a token is taken whole, whatever the merges say.
    ignore_merges: bool,
    /// Whether texts begin with the bos token when the file does not say.
    adds_bos: bool,
    /// Whether texts are brought into normal form C first.
    nfc: bool,
}

/// The patterns are those of the models' own `tokenizer.json` files and, for `default`,
/// of llama.cpp, which has no other definition.
const PRE_TOKENIZATIONS: [PreTokenization; 7] = [
    PreTokenization {
        names: &["gpt-2", "phi-2", "mpt"],
        cuts: &[],
        then_gpt2: true,
        ignore_merges: false,
        adds_bos: false,
        nfc: false,
    },
    PreTokenization {
        // Every digit by itself, then GPT-2.
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell"],
        cuts: &[r"\p{N}"],
        then_gpt2: true,
        ignore_merges: false,
        adds_bos: false,
        nfc: false,
    },
    PreTokenization {
        names: &["llama-bpe", "llama3", "llama-v3"],
        cuts: &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )],
        then_gpt2: false,
        ignore_merges: true,
        adds_bos: true,
        nfc: false,
    },
    PreTokenization {
        // Llama 3's cuts, without its shortcut past the merges.
        names: &["smaug-bpe"],
        cuts: &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )],
        then_gpt2: false,
        ignore_merges: false,
        adds_bos: false,
        nfc: false,
    },
    PreTokenization {
        // As Llama 3, every digit by itself.
        names: &["qwen2", "deepseek-r1-qwen"],
        cuts: &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|",
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )],
        then_gpt2: false,
        ignore_merges: false,
        adds_bos: false,
        nfc: true,
    },
    PreTokenization {
        // Mistral's Tekken: words are cut where a capital follows a small letter.
        names: &["tekken"],
        cuts: &[concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
            r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )],
        then_gpt2: false,
        ignore_merges: true,
        adds_bos: true,
        nfc: false,
    },
    PreTokenization {
        names: &["default"],
        cuts: &[
            r"[\p{P}\$\+<=>\^~\|]+",
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
            r"\p{N}+",
            r"[0-9][0-9][0-9]",
        ],
        then_gpt2: false,
        ignore_merges: false,
        adds_bos: false,
        nfc: false,
    },
];

/// The tokenizer without its special tokens, and whether it begins texts with bos by
/// default.
pub(super) fn build(file: &GgufFile, vocabulary: &Vocabulary) -> Result<(Tokenizer, bool), ModelError> {
    let pre = pre_tokenization(file)?;
    let ids = vocabulary.ids();
    let merges = read_merges(file, &ids)?;
    let model = BpeBuilder::new()
        .vocab_and_merges(ids, merges)
        .ignore_merges(pre.ignore_merges)
        .build()
        .map_err(|e| wrong(file, e))?;

    let mut steps: Vec<PreTokenizerWrapper> = Vec::new();
    for cut in pre.cuts {
        let pattern = SplitPattern::Regex((*cut).into());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
        steps.push(split.map_err(|e| wrong(file, e))?.into());
    }
    steps.push(ByteLevel::new(false, true, pre.then_gpt2).into());

    let mut tokenizer = Tokenizer::new(model);
    if pre.nfc {
        tokenizer.with_normalizer(Some(NFC)).map_err(|e| wrong(file, e))?;
    }
    tokenizer.with_pre_tokenizer(Some(Sequence::new(steps))).with_decoder(Some(ByteLevel::default()));
    Ok((tokenizer, pre.adds_bos))
}

fn pre_tokenization(file: &GgufFile) -> Result<&'static PreTokenization, ModelError> {
    let key = "tokenizer.ggml.pre";
    let name = file.optional_string(key)?.unwrap_or("default");
    PRE_TOKENIZATIONS.iter().find(|p| p.names.contains(&name)).ok_or_else(|| {
        let known: Vec<&str> = PRE_TOKENIZATIONS.iter().flat_map(|p| p.names).copied().collect();
        wrong(file, format!("metadata key `{key}` is `{name}`, supported are {}", known.join(", ")))
    })
}

/// Merges are stored as two tokens with a space between. Each must join known tokens to
/// a known token: the library indexes by these lengths without looking.
fn read_merges(file: &GgufFile, ids: &Vocab) -> Result<Merges, ModelError> {
    let key = "tokenizer.ggml.merges";
    let mut merges = Vec::new();
    for (rank, merge) in file.strings(key)?.iter().enumerate() {
        let Some((left, right)) = merge.split_once(' ') else {
            return Err(wrong(
                file,
                format!("`{key}` has {merge:?} at {rank}, expected two tokens with a space between"),
            ));
        };
        for token in [left, right, &format!("{left}{right}")] {
            if !ids.contains_key(token) {
                return Err(wrong(
                    file,
                    format!("`{key}` needs the token {token:?} at {rank}, which the vocabulary lacks"),
                ));
            }
        }
        merges.push((left.to_string(), right.to_string()));
    }
    Ok(merges)
}
