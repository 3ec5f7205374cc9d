//! Where the golden data is.

use std::path::{Path, PathBuf};

/// The folder of golden data: `CAMELID_ORACLES`, else `../shared/oracles` beside the workspace.
/// `None` (after a line on standard output) when it is absent, unless
/// `CAMELID_REQUIRE_ORACLES=1` makes that a failure.
pub fn oracles() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/oracles");
    let path = std::env::var_os("CAMELID_ORACLES").map_or(beside, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    let required = std::env::var("CAMELID_REQUIRE_ORACLES").is_ok_and(|v| v == "1");
    assert!(!required, "no oracles at {} and CAMELID_REQUIRE_ORACLES=1", path.display());
    println!("skipped: no oracles at {}", path.display());
    None
}
