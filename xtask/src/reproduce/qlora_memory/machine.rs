//! What the machine has, and leaving nothing on its disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;

use super::bytes::size;

/// `16GiB`, `500MB`, `1073741824`.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(format!("`{unit}` is no unit; expected B, KB, MB, GB, KiB, MiB or GiB")),
    };
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((number * factor as f64) as u64),
        _ => Err(format!("`{number}` is no number; expected a size such as 16GiB")),
    }
}

/// Bytes that an ordinary user can still write where `folder` is or is going to be.
pub fn free_disk(folder: &Path) -> anyhow::Result<u64> {
    let exists = folder.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(Path::new("."));
    let found = rustix::fs::statvfs(exists)
        .with_context(|| format!("cannot ask how much room {} has", folder.display()))?;
    Ok(found.f_bavail * found.f_frsize)
}

/// `MemAvailable`; `None` where the system does not say.
pub fn available_memory() -> Option<u64> {
    meminfo("MemAvailable:")
}

/// Bytes of files in memory, system-wide; `None` where the system does not say.
pub fn page_cache() -> Option<u64> {
    meminfo("Cached:")
}

fn meminfo(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// What is missing, as a clause; `None` when nothing is, or the system does not say.
pub fn shortfall(needed: u64, available: Option<u64>, reserve: u64) -> Option<String> {
    let available = available?;
    (needed + reserve > available)
        .then(|| format!("the step needs {} and {} are available", size(needed + reserve), size(available)))
}

/// Where streamed weights lie until they are mapped. Whatever way the process ends, nothing of
/// them stays: the folder goes when this is dropped and on Ctrl-C; what a killed process left,
/// the next one removes; and once the file is mapped it has no name any more.
pub struct Cleaner {
    folder: PathBuf,
    current: Arc<Mutex<Option<tempfile::TempDir>>>,
}

const PREFIX: &str = "weights-";

impl Cleaner {
    /// Removes what earlier runs left in `folder`, and watches for Ctrl-C.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                let path = entry.path();
                std::fs::remove_dir_all(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        let current = Arc::new(Mutex::new(None::<tempfile::TempDir>));
        let held = current.clone();
        ctrlc::set_handler(move || {
            // Held until the end: no other folder is begun.
            let mut current = held.lock().unwrap_or_else(PoisonError::into_inner);
            match current.take().map_or(Ok(()), remove) {
                Ok(()) => camelid_files::say!("\ninterrupted; nothing is left on the disk"),
                Err(error) => camelid_files::say!("\ninterrupted; the weights could not be removed: {error}"),
            }
            std::process::exit(130);
        })
        .context("cannot handle Ctrl-C")?;
        Ok(Self { folder: folder.to_owned(), current })
    }

    /// A fresh folder for weights.
    pub fn weights_folder(&self) -> anyhow::Result<PathBuf> {
        // Locked first: an interruption finds either no folder or one that it knows of.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let made = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&self.folder)
            .with_context(|| format!("cannot write in {}", self.folder.display()))?;
        let path = made.path().to_owned();
        *current = Some(made);
        Ok(path)
    }

    /// Takes the weights' name away; what has them mapped keeps them.
    pub fn remove_weights(&self) {
        drop(self.current.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Removes a folder that is still written into: a file made meanwhile needs another turn.
fn remove(folder: tempfile::TempDir) -> std::io::Result<()> {
    const TURNS: usize = 50;
    let path = folder.keep();
    let mut outcome = Ok(());
    for _ in 0..TURNS {
        outcome = std::fs::remove_dir_all(&path);
        match &outcome {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
            Ok(()) => break,
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(parse_bytes("16GiB"), Ok(16 << 30));
        assert_eq!(parse_bytes("1.5 gb"), Ok(1_500_000_000));
        assert_eq!(parse_bytes("4096"), Ok(4096));
        assert!(parse_bytes("16 gallons").unwrap_err().contains("gallons"));
        assert!(parse_bytes("GiB").unwrap_err().contains("such as"));
    }

    #[test]
    fn a_shortfall_is_stated_and_its_absence_is_not() {
        assert_eq!(shortfall(10, Some(20), 5), None);
        assert!(shortfall(10, Some(14), 5).unwrap().contains("are available"));
        assert_eq!(shortfall(u64::MAX / 2, None, 5), None);
    }
}
