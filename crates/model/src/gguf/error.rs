//! What can be wrong with a GGUF file.

use std::path::PathBuf;

use super::tensor_type::TensorType;

/// A GGUF file that cannot be read or written, and where in it the trouble is.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The operating system refused.
    #[error("{file}: cannot read {place}: {source}", file = file.display())]
    Io {
        /// The file being read.
        file: PathBuf,
        /// The field or tensor being read.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The first four bytes are not `GGUF`.
    #[error(
        "{file}: not a GGUF file: it starts with {found:02x?}, expected {expected:02x?} (\"GGUF\")",
        file = file.display(),
        expected = b"GGUF"
    )]
    Magic {
        /// The file being read.
        file: PathBuf,
        /// Its first bytes.
        found: [u8; 4],
    },
    /// A version this reader does not know, or a big-endian file.
    #[error("{file}: GGUF version {found} is not supported, expected 2 or 3{hint}", file = file.display())]
    Version {
        /// The file being read.
        file: PathBuf,
        /// The version as read, little-endian.
        found: u32,
        /// A further explanation, or nothing.
        hint: &'static str,
    },
    /// A field that contradicts the file's size, another field, or the format.
    #[error("{file}: {place}: {problem}", file = file.display())]
    Damaged {
        /// The file being read.
        file: PathBuf,
        /// The field or tensor.
        place: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// A metadata key that is needed and absent.
    #[error("{file}: metadata key `{key}` is missing, expected {expected}", file = file.display())]
    MissingKey {
        /// The file being read.
        file: PathBuf,
        /// The key.
        key: String,
        /// The kind of value it should have.
        expected: &'static str,
    },
    /// A metadata key whose value is of the wrong type or out of range.
    #[error("{file}: metadata key `{key}` is {found}, expected {expected}", file = file.display())]
    BadValue {
        /// The file being read.
        file: PathBuf,
        /// The key.
        key: String,
        /// The value as found.
        found: String,
        /// The kind of value it should have.
        expected: &'static str,
    },
    /// A tensor that was asked for and is not in the table.
    #[error("{file}: no tensor `{tensor}`", file = file.display())]
    MissingTensor {
        /// The file being read.
        file: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// One of several parts is not beside the others.
    #[error("{file}: is one of {count} parts; `{part}` is missing", file = file.display(), part = part.display())]
    MissingPart {
        /// The file being read.
        file: PathBuf,
        /// The part that is not there.
        part: PathBuf,
        /// Number of parts.
        count: usize,
    },
    /// The operating system refused while writing.
    #[error("{file}: cannot write {place}: {source}", file = file.display())]
    Unwritten {
        /// The file being written.
        file: PathBuf,
        /// The tensor, or the header.
        place: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be begun, made durable or given its name.
    #[error(transparent)]
    Files(#[from] camelid_files::FileError),
    /// A tensor that cannot be written as it was planned.
    #[error("{file}: tensor `{tensor}` {problem}", file = file.display())]
    NotWritable {
        /// The file being written.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A tensor in a block format this reader cannot expand.
    #[error(
        "{file}: tensor `{tensor}` has type {found}, which is not supported; supported are {supported}",
        file = file.display(),
        supported = TensorType::supported_names()
    )]
    UnsupportedType {
        /// The file being read.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// ggml's name of the type, or its number.
        found: String,
    },
}
