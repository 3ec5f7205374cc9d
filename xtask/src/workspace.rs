//! Where things lie in this workspace.

use std::path::{Path, PathBuf};

/// The workspace's root, where `papers/` and `experiments/` lie.
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The folder of all runs: as given, or `runs/` in the workspace.
pub fn runs(given: Option<&PathBuf>) -> PathBuf {
    given.cloned().unwrap_or_else(|| workspace().join("runs"))
}
