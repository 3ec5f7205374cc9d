//! What was kept before: ids, texts and sketches, with memory that does not grow with them.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use camelid_files::FileError;

use crate::hash_table::HashTable;
use crate::minhash::{Signature, Sketch, similarity};

/// The hash of an id or a text. Among ten million of them the chance that any two that differ
/// are taken for one is about one in a hundred thousand.
pub fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What was kept so far: names, found by id, by text and by likeness.
pub struct Kept {
    ids: HashTable,
    texts: HashTable,
    bands: HashTable,
    names: Names,
}

impl Kept {
    /// Nothing yet.
    ///
    /// # Errors
    /// Temporary files that cannot be made.
    pub fn new() -> Result<Self, FileError> {
        let names = Names::new().map_err(failed)?;
        Ok(Self { ids: HashTable::new(), texts: HashTable::new(), bands: HashTable::new(), names })
    }

    /// Whether one with this id was kept.
    ///
    /// # Errors
    /// Temporary files that cannot be read.
    pub fn has_id(&mut self, id: u64) -> Result<bool, FileError> {
        Ok(self.ids.get(id).map_err(failed)?.is_some())
    }

    /// The name of the first that was kept with this text.
    ///
    /// # Errors
    /// Temporary files that cannot be read.
    pub fn with_text(&mut self, text: u64) -> Result<Option<String>, FileError> {
        match self.texts.get(text).map_err(failed)? {
            Some(place) => Ok(Some(self.names.get(place).map_err(failed)?.0)),
            None => Ok(None),
        }
    }

    /// The name of one that was kept with a text of at least this similarity, and the similarity; of
    /// those alone whose name is `wanted`.
    ///
    /// # Errors
    /// Temporary files that cannot be read.
    pub fn near(
        &mut self,
        sketch: &Sketch,
        least: f64,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<(String, f64)>, FileError> {
        let mut seen = None;
        for band in sketch.bands {
            let Some(place) = self.bands.get(band).map_err(failed)?.filter(|place| seen != Some(*place))
            else {
                continue;
            };
            seen = Some(place);
            let (name, signature) = self.names.get(place).map_err(failed)?;
            let similarity = similarity(&sketch.signature, &signature);
            if similarity >= least && wanted(&name) {
                return Ok(Some((name, similarity)));
            }
        }
        Ok(None)
    }

    /// One more that is kept.
    ///
    /// # Errors
    /// Temporary files that cannot be written.
    pub fn add(
        &mut self,
        id: Option<u64>,
        text: u64,
        sketch: Option<&Sketch>,
        name: &str,
    ) -> Result<(), FileError> {
        let mut add = || {
            let place = self.names.add(name, sketch.map(|sketch| &sketch.signature))?;
            if let Some(id) = id {
                self.ids.add(id, place)?;
            }
            self.texts.add(text, place)?;
            sketch.iter().flat_map(|sketch| sketch.bands).try_for_each(|band| self.bands.add(band, place))
        };
        add().map_err(failed)
    }
}

/// Names and signatures in a temporary file; they are asked for rarely.
struct Names {
    file: BufWriter<File>,
    end: u64,
}

impl Names {
    fn new() -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile()?), end: 0 })
    }

    /// Where the name was put.
    fn add(&mut self, name: &str, signature: Option<&Signature>) -> io::Result<u64> {
        let place = self.end;
        let length = u32::try_from(name.len()).unwrap_or(0);
        let name = &name.as_bytes()[..length as usize];
        let signature = signature.map_or(&[][..], |signature| signature);
        for part in [&length.to_le_bytes()[..], name, signature] {
            self.file.write_all(part)?;
            self.end += part.len() as u64;
        }
        Ok(place)
    }

    /// The name at a place, and the signature where one was put there.
    fn get(&mut self, place: u64) -> io::Result<(String, Signature)> {
        self.file.flush()?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(place))?;
        let mut length = [0; 4];
        file.read_exact(&mut length)?;
        let mut name = vec![0; u32::from_le_bytes(length) as usize];
        file.read_exact(&mut name)?;
        let mut signature: Signature = [0; size_of::<Signature>()];
        // What was put without one may be the last, with nothing behind it.
        let _ = file.take(signature.len() as u64).read(&mut signature)?;
        self.file.get_mut().seek(SeekFrom::Start(self.end))?;
        Ok((String::from_utf8_lossy(&name).into_owned(), signature))
    }
}

fn failed(cause: io::Error) -> FileError {
    FileError::io(Path::new("temporary file of what was kept"), "use")(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_with_a_text_is_named() {
        let mut kept = Kept::new().unwrap();
        for (id, text, name) in [(1, 10, "a"), (2, 20, "é"), (3, 10, "c")] {
            kept.add(Some(id), text, None, name).unwrap();
        }
        assert!(kept.has_id(3).unwrap() && !kept.has_id(4).unwrap());
        assert_eq!(kept.with_text(20).unwrap().as_deref(), Some("é"));
        kept.add(None, 40, None, "d").unwrap();
        assert_eq!(kept.with_text(10).unwrap().as_deref(), Some("a"));
        assert_eq!(kept.with_text(40).unwrap().as_deref(), Some("d"));
        assert_eq!(kept.with_text(50).unwrap(), None);
    }

    #[test]
    fn one_that_is_nearly_the_same_is_named() {
        let words = |from: usize| (from..from + 400).map(|word| format!("word{word} ")).collect::<String>();
        let mut kept = Kept::new().unwrap();
        let sketch = |from| Sketch::of(&[&words(from)]).unwrap();
        kept.add(None, 1, Some(&sketch(0)), "a").unwrap();
        kept.add(None, 2, Some(&sketch(1000)), "b").unwrap();
        let (name, similarity) = kept.near(&sketch(1004), 0.8, |_| true).unwrap().unwrap();
        assert!(name == "b" && similarity > 0.9, "{name}: {similarity}");
        assert_eq!(kept.near(&sketch(200), 0.8, |_| true).unwrap(), None);
        assert_eq!(kept.near(&sketch(1004), 0.8, |name| name != "b").unwrap(), None);
    }
}
