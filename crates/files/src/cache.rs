//! Where files go that can be made or fetched again.

use std::path::PathBuf;

/// The cache folder: `CAMELID_CACHE`, else `camelid` in `XDG_CACHE_HOME`, else `.cache/camelid` in
/// `HOME`. `None` where none of the three is set.
pub fn cache_dir() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("CAMELID_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|dir| dir.join("camelid")))
        .or_else(|| folder("HOME").map(|dir| dir.join(".cache").join("camelid")))
}
