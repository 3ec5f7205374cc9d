//! Where the reference data lies.

use std::path::{Path, PathBuf};

/// The oracle folder: `CAMELID_ORACLES`, else `../shared/oracles` beside the
/// workspace. `None`, with a line saying so, where it is absent.
///
/// # Panics
/// When it is absent and `CAMELID_REQUIRE_ORACLES=1`.
pub fn oracles() -> Option<PathBuf> {
    let dir = std::env::var_os("CAMELID_ORACLES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/oracles"), PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    assert!(
        std::env::var("CAMELID_REQUIRE_ORACLES").as_deref() != Ok("1"),
        "no oracles at {} and CAMELID_REQUIRE_ORACLES=1",
        dir.display()
    );
    println!("skipped: no oracles at {}", dir.display());
    None
}

/// The LLaMA tokenizer.
#[allow(dead_code)]
pub fn llama_tokenizer() -> Option<tokenizers::Tokenizer> {
    let path = oracles()?.join("llama-tokenizer/tokenizer.json");
    Some(tokenizers::Tokenizer::from_file(&path).unwrap())
}
