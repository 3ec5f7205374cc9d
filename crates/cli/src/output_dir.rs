//! An output folder that appears whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use camelid_files::Unfinished;
use tempfile::TempDir;

/// A hidden folder beside the target; it goes away unless it is finished.
pub struct OutputDir {
    building: TempDir,
    target: PathBuf,
    parent: PathBuf,
    /// Ctrl-C takes it away too.
    _unfinished: Unfinished,
}

impl OutputDir {
    /// Refuses a target that would overwrite something.
    pub fn create(target: &Path) -> Result<Self> {
        let shown = target.display();
        if target.exists() {
            if !target.is_dir() {
                bail!("--out {shown} is a file, expected a new or empty folder");
            }
            let mut entries = fs::read_dir(target).with_context(|| format!("cannot read {shown}"))?;
            if entries.next().is_some() {
                bail!("--out {shown} is not empty; name a new folder or empty this one");
            }
        }
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !parent.is_dir() {
            bail!("--out {shown}: the folder {} does not exist", parent.display());
        }
        let building = tempfile::Builder::new()
            .prefix(".camelid-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot write in {}", parent.display()))?;
        let _unfinished = Unfinished::new(building.path());
        Ok(Self { building, target: target.to_path_buf(), parent: parent.to_path_buf(), _unfinished })
    }

    /// Where to write for now.
    pub fn path(&self) -> &Path {
        self.building.path()
    }

    /// Makes the files durable and gives the folder its name.
    pub fn finish(self) -> Result<()> {
        let failed = || format!("cannot finish {}", self.target.display());
        make_readable(self.path()).with_context(failed)?;
        for entry in fs::read_dir(self.path()).with_context(failed)? {
            let path = entry.with_context(failed)?.path();
            File::open(path).and_then(|file| file.sync_all()).with_context(failed)?;
        }
        // Renaming a folder over an empty one replaces it.
        fs::rename(self.path(), &self.target).with_context(failed)?;
        let parent = self.parent.clone();
        let _ = self.building.keep();
        File::open(&parent)
            .and_then(|dir| dir.sync_all())
            .with_context(|| format!("cannot sync {}", parent.display()))
    }
}

/// Temporary folders are private by default; a finished model is an ordinary one.
#[cfg(unix)]
fn make_readable(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_readable(_dir: &Path) -> std::io::Result<()> {
    Ok(())
}
