//! GGUF vocabularies of type `gpt2`: byte-level BPE.

use serde_json::Value;
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

/// The patterns are those of the models' own `tokenizer.json` files and, for `default` and
/// DeepSeek's, of llama.cpp.
const PRE_TOKENIZATIONS: [PreTokenization; 9] = [
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
        // Words of the scripts with capitals, punctuation, ideographs and digits, each apart; the
        // letters are those of Unicode 11 that have a case, but for Georgian's small ones.
        names: &["deepseek-llm"],
        cuts: &[
            r"[\r\n]",
            concat!(
                r"\s?[",
                r"A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}",
                r"\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}",
                r"\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}",
                r"\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}",
                r"\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}",
                r"\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}",
                r"\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}",
                r"\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}",
                r"\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}",
                r"\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}",
                r"\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}",
                r"\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}",
                r"\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}",
                r"\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}",
                r"\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}",
                r"\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}",
                r"]+"
            ),
            r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+",
            r"\s+$",
            r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+",
            r"\p{N}+",
        ],
        then_gpt2: false,
        ignore_merges: false,
        adds_bos: false,
        nfc: false,
    },
    PreTokenization {
        names: &["deepseek-coder"],
        cuts: &[
            r"[\r\n]",
            r"\s?\p{L}+",
            r"\s?\p{P}+",
            r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+",
            r"\p{N}",
        ],
        then_gpt2: false,
        ignore_merges: false,
        adds_bos: false,
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

/// GGUF's name of the way in which a byte-level `tokenizer.json` cuts text, if it has one.
pub(crate) fn pre_tokenization_name(json: &Value) -> Option<&'static str> {
    let steps = match &json["pre_tokenizer"] {
        one if one["type"] == "Sequence" => one["pretokenizers"].as_array()?.clone(),
        one => vec![one.clone()],
    };
    let mut cuts: Vec<&str> = Vec::new();
    let mut then_gpt2 = None;
    for step in &steps {
        // Nothing is cut after the bytes.
        if then_gpt2.is_some() {
            return None;
        }
        match step["type"].as_str()? {
            "Digits" if step["individual_digits"] == true => cuts.push(r"\p{N}"),
            "Split" if step["behavior"] == "Isolated" && step["invert"] != true => {
                cuts.push(step["pattern"]["Regex"].as_str()?);
            }
            "ByteLevel" if step["add_prefix_space"] != true => {
                then_gpt2 = Some(step["use_regex"].as_bool().unwrap_or(true));
            }
            _ => return None,
        }
    }
    let nfc = match &json["normalizer"] {
        Value::Null => false,
        only if only["type"] == "NFC" => true,
        _ => return None,
    };
    let model = &json["model"];
    let ignore_merges = model["ignore_merges"].as_bool().unwrap_or(false);
    let named = PRE_TOKENIZATIONS.iter().find(|pre| {
        pre.cuts == cuts
            && Some(pre.then_gpt2) == then_gpt2
            && pre.nfc == nfc
            && pre.ignore_merges == ignore_merges
    });
    named.and_then(|pre| pre.names.first()).copied()
}

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
