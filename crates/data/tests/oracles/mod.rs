//! Finds the folder of real data.

use std::path::{Path, PathBuf};

/// `CAMELID_ORACLES`, else `../shared/oracles` beside the workspace. `None`, with
/// a note, when it is absent; a panic instead under `CAMELID_REQUIRE_ORACLES=1`.
pub fn oracles() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder =
        std::env::var_os("CAMELID_ORACLES").map_or_else(|| root.join("../shared/oracles"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var("CAMELID_REQUIRE_ORACLES").is_ok_and(|v| v == "1");
    assert!(!required, "no oracles at {}", folder.display());
    println!("skipped: no oracles at {}", folder.display());
    None
}
