//! Where the golden files of other implementations lie.

use std::path::PathBuf;

/// The oracle folder: `CAMELID_ORACLES`, else `../shared/oracles` beside the workspace.
/// `None`, with a line saying so, when it is absent; a panic when it is required.
pub fn oracles() -> Option<PathBuf> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = std::env::var_os("CAMELID_ORACLES")
        .map_or_else(|| workspace.join("../shared/oracles"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    let required = std::env::var("CAMELID_REQUIRE_ORACLES").is_ok_and(|v| v == "1");
    assert!(!required, "no oracles at {}, but CAMELID_REQUIRE_ORACLES=1", path.display());
    println!("skipped: no oracles at {}", path.display());
    None
}
