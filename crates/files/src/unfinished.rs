//! What is being written under a temporary name. A program that a signal ends drops nothing, so what it was
//! writing would stay, hidden and as large as it had become.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static PATHS: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file or folder that is being written under a temporary name, for as long as this lives. Every
/// [`WholeFile`](crate::WholeFile) is one.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let building = folder.path().join(".building");
/// std::fs::create_dir(&building)?;
/// let _unfinished = camelid_files::Unfinished::new(&building);
/// camelid_files::remove_unfinished(); // what a handler of Ctrl-C does before it ends the program
/// assert!(!building.exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// Lists the path until this is dropped.
    pub fn new(path: &Path) -> Self {
        // The program may change its folder until a signal comes.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        paths().insert(path.clone());
        Self(path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        paths().remove(&self.0);
    }
}

/// Removes every file and folder that is being written, in all threads: for a program that is about to end.
pub fn remove_unfinished() {
    for path in paths().iter() {
        // One that has its name by now, or cannot be removed, is no reason to leave the others.
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
}

fn paths() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PATHS.lock().unwrap_or_else(PoisonError::into_inner)
}
