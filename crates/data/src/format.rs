//! The formats that files of conversations come in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A format of conversations. What it says is taken at its word: nothing is guessed from the name of
/// a file, and a file of another format is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum DataFormat {
    /// OASST's ready trees: a tree of messages a row, under `prompt` and `replies`.
    OasstTrees,
    /// OASST's messages: one a row, joined by `message_id` and `parent_id`.
    OasstFlat,
    /// ShareGPT: `conversations` of `from` and `value`.
    Sharegpt,
    /// Alpaca: `instruction`, `input`, `output`; also Dolly and other names of the three.
    Alpaca,
    /// OpenAI's chat format: `messages` of `role` and `content`.
    Messages,
    /// Guanaco's flattened dialogues: `### Human: …### Assistant: …` in one `text`, or QLoRA's questions
    /// in `input` and `output`.
    Guanaco,
    /// The made-up nano world; a file, where there is one, is TOML with its dials.
    Nano,
}

impl DataFormat {
    /// All formats.
    pub const ALL: [DataFormat; 7] = [
        DataFormat::OasstTrees,
        DataFormat::OasstFlat,
        DataFormat::Sharegpt,
        DataFormat::Alpaca,
        DataFormat::Messages,
        DataFormat::Guanaco,
        DataFormat::Nano,
    ];

    /// The name that files and options use.
    pub fn as_str(self) -> &'static str {
        match self {
            DataFormat::OasstTrees => "oasst-trees",
            DataFormat::OasstFlat => "oasst-flat",
            DataFormat::Sharegpt => "sharegpt",
            DataFormat::Alpaca => "alpaca",
            DataFormat::Messages => "messages",
            DataFormat::Guanaco => "guanaco",
            DataFormat::Nano => "nano",
        }
    }

    /// All names, separated by commas.
    pub fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for DataFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no format; the message lists those that are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no data format \"{name}\"; it is one of {}", DataFormat::names())]
pub struct UnknownFormat {
    /// The name.
    pub name: String,
}

impl FromStr for DataFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let format = Self::ALL.into_iter().find(|format| format.as_str() == name);
        format.ok_or_else(|| UnknownFormat { name: name.to_string() })
    }
}

impl TryFrom<String> for DataFormat {
    type Error = UnknownFormat;

    fn try_from(name: String) -> Result<Self, UnknownFormat> {
        name.parse()
    }
}

impl From<DataFormat> for &'static str {
    fn from(format: DataFormat) -> Self {
        format.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_and_others_are_refused_with_the_list() {
        for format in DataFormat::ALL {
            let name = format!("\"{format}\"");
            assert_eq!(serde_json::to_string(&format).unwrap(), name);
            assert_eq!(serde_json::from_str::<DataFormat>(&name).unwrap(), format);
        }
        let error = serde_json::from_str::<DataFormat>("\"ShareGPT\"").unwrap_err().to_string();
        assert!(error.contains("no data format \"ShareGPT\""), "{error}");
        for format in DataFormat::ALL {
            assert!(error.contains(format.as_str()), "{error}");
        }
    }
}
