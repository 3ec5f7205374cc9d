//! What was written, read again before it has its name.

use std::path::Path;

use tokenizers::Tokenizer;

use crate::config::{LlamaConfig, RopeScaling};
use crate::error::ModelError;
use crate::rope::inverse_frequencies;
use crate::tokenizer::TokenizerFile;
use crate::weights::{GgufWeights, WeightSource};

/// Texts that tokenizers cut differently: scripts, digits, white space, contractions, code, and signs
/// that no vocabulary has whole.
const PROBES: [&str; 18] = [
    "",
    " ",
    "Hello, world!",
    "  two  spaces   and three",
    "line\nbreaks\n\n\r\n\ttabs\t\t",
    "It's we'll THEY'RE don't I'd I'M",
    "in 1994, 12345678 of 3.14159",
    "fn main() { println!(\"{:?}\", a[0]); } // ok",
    "    def f(x):\n        return x**2  # done\n",
    "naïve café Ünïcödé Straße",
    "Привет, как дела?",
    "中文测试，你好世界。",
    "日本語のテキスト と カタカナ",
    "안녕하세요 세계",
    "مرحبا بالعالم",
    "emoji 🙂👩‍👩‍👧 and \u{0301} marks e\u{0301}",
    "e-mail: someone@example.org, https://example.org/a?b=c#d",
    "trailing space ",
];

/// Checks the file at `temporary`, which is to be `path`.
pub(super) fn read_back(
    temporary: &Path,
    config: &LlamaConfig,
    tokenizer: &TokenizerFile,
    path: &Path,
) -> Result<(), ModelError> {
    let written = GgufWeights::open(temporary)?;
    let found = written.config()?;
    // What the file cannot say otherwise than another way: ends and special tokens are the tokenizer's.
    let comparable = |config: &LlamaConfig| LlamaConfig {
        bos_token_id: None,
        eos_token_ids: Vec::new(),
        pad_token_id: None,
        stored_4bit: false,
        rope_scaling: RopeScaling::None,
        rope_theta: f64::from(config.rope_theta as f32),
        rms_norm_eps: f64::from(config.rms_norm_eps as f32),
        ..config.clone()
    };
    if comparable(&found) != comparable(config) {
        let problem = format!("would be read as {found:?}, the model is {config:?}; nothing was written");
        return Err(ModelError::File { path: path.to_owned(), problem });
    }
    let turns =
        |config: &LlamaConfig| inverse_frequencies(config.head_dim, config.rope_theta, &config.rope_scaling);
    if turns(config).iter().zip(turns(&found)).any(|(own, found)| (own - found).abs() > 1e-5 * own) {
        let problem = format!("cannot hold {:?}; nothing was written", config.rope_scaling);
        return Err(ModelError::File { path: path.to_owned(), problem });
    }
    let rebuilt = TokenizerFile::from_gguf(written.file())?;
    match difference(&tokenizer.tokenizer, &rebuilt.tokenizer) {
        None => Ok(()),
        Some(problem) => {
            let problem = format!("GGUF cannot hold it: {problem}; nothing was written");
            Err(ModelError::Tokenizer { origin: path.display().to_string(), problem })
        }
    }
}

/// The first text for which two tokenizers differ, in words.
fn difference(ours: &Tokenizer, rebuilt: &Tokenizer) -> Option<String> {
    let specials: Vec<String> = ours
        .get_added_tokens_decoder()
        .values()
        .take(64)
        .map(|token| format!("a {} b", token.content))
        .collect();
    for text in PROBES.into_iter().chain(specials.iter().map(String::as_str)) {
        for framed in [false, true] {
            let ids = |tokenizer: &Tokenizer| tokenizer.encode(text, framed).map(|e| e.get_ids().to_vec());
            let (own, other) = match (ids(ours), ids(rebuilt)) {
                (Ok(own), Ok(other)) => (own, other),
                (Err(error), _) | (_, Err(error)) => {
                    return Some(format!("{text:?} cannot be encoded: {error}"));
                }
            };
            if own != other {
                return Some(format!("{text:?} is {own:?}, read back {other:?}"));
            }
        }
    }
    None
}
