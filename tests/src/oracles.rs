//! Where the golden files of other implementations lie.

use std::path::{Path, PathBuf};

use tokenizers::Tokenizer;

/// The workspace's root.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The folder of golden files: `CAMELID_ORACLES`, else `../shared/oracles` beside the workspace.
/// `None`, after a line on standard output, when it is absent.
///
/// # Panics
/// When it is absent and `CAMELID_REQUIRE_ORACLES=1` says that it must not be.
pub fn oracles() -> Option<PathBuf> {
    let path = std::env::var_os("CAMELID_ORACLES")
        .map_or_else(|| workspace().join("../shared/oracles"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    let required = std::env::var("CAMELID_REQUIRE_ORACLES").is_ok_and(|value| value == "1");
    assert!(!required, "CAMELID_REQUIRE_ORACLES=1, but there are no oracles at {}", path.display());
    println!("skipped: no oracles at {}", path.display());
    None
}

/// LLaMA's tokenizer, where there are golden files.
///
/// # Panics
/// As [`oracles`], and when the file is damaged.
pub fn llama_tokenizer() -> Option<Tokenizer> {
    let path = oracles()?.join("llama-tokenizer/tokenizer.json");
    Some(Tokenizer::from_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}
