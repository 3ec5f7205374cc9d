//! What was left out, replaced or decided on the way from files to a model, for the user to see.

use std::fmt;

/// Something in a model's files that was not taken as it stands there. Its text is one line, without
/// a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadNote {
    /// A setting that this model has no use for, or that changes nothing without training.
    SettingIgnored {
        /// The file.
        origin: String,
        /// The setting's name.
        setting: String,
        /// Its value.
        found: String,
        /// Why it changes nothing.
        because: &'static str,
    },
    /// A value that JSON does not have, such as `NaN`, was read as none.
    OddJson {
        /// The file.
        origin: String,
        /// What stood there and how it was read.
        what: String,
    },
    /// Tensors that the configuration has no place for.
    TensorsIgnored {
        /// Where the weights come from.
        origin: String,
        /// Their names, sorted.
        names: Vec<String>,
    },
    /// All names begin otherwise than Hugging Face's.
    NamesMended {
        /// Where the weights come from.
        origin: String,
        /// A name as it is stored.
        stored: String,
        /// The name it was taken for.
        taken_for: String,
    },
    /// The configuration says that the head is tied, the file has a head of its own.
    HeadOfItsOwn {
        /// Where the weights come from.
        origin: String,
    },
    /// The head is tied and stored in place of the embedding.
    EmbeddingFromHead {
        /// Where the weights come from.
        origin: String,
    },
    /// `o_proj` has no bias where q, k and v have one: it is zero.
    NoOutputBias {
        /// Where the weights come from.
        origin: String,
    },
    /// Both one whole file and an index of shards are there.
    OneOfTwo {
        /// The file that is read.
        taken: String,
        /// The file that is not.
        left: String,
        /// Why.
        because: &'static str,
    },
    /// Whatever else a file's reader decided.
    Other(String),
}

impl fmt::Display for LoadNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SettingIgnored { origin, setting, found, because } => {
                write!(f, "{origin}: `{setting}` is {found}: ignored, {because}")
            }
            Self::OddJson { origin, what } => write!(f, "{origin}: {what}"),
            Self::TensorsIgnored { origin, names } => {
                let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
                let more = match names.len().saturating_sub(SHOWN) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                write!(
                    f,
                    "{origin}: {} tensors that the configuration has no place for are ignored: {}{more}",
                    names.len(),
                    shown.join(", ")
                )?;
                if names.iter().any(|name| name.ends_with("_proj.bias")) {
                    f.write_str(" (biases are used where `attention_bias` or `mlp_bias` is true)")?;
                }
                Ok(())
            }
            Self::NamesMended { origin, stored, taken_for } => {
                write!(f, "{origin}: `{stored}` is taken for `{taken_for}`, and so all names")
            }
            Self::HeadOfItsOwn { origin } => write!(
                f,
                "{origin}: holds an output head of its own, which is used although the configuration's \
                 `tie_word_embeddings` is true"
            ),
            Self::EmbeddingFromHead { origin } => {
                write!(f, "{origin}: `lm_head.weight` stands for the embedding too, as the two are tied")
            }
            Self::NoOutputBias { origin } => {
                write!(f, "{origin}: q, k and v have biases and no `o_proj.bias` is stored: it is zero")
            }
            Self::OneOfTwo { taken, left, because } => write!(f, "{taken} is read, {left} is not: {because}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Names that a note lists before it counts the rest.
const SHOWN: usize = 6;
