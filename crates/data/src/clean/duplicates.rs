//! What was kept before: ids and texts by hash, in some 40 bytes a conversation.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use camelid_files::FileError;

/// The hash of an id or a text. Among ten million conversations the chance that any two that differ
/// are taken for one is about one in a hundred thousand.
pub(super) fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Takes a fingerprint for its own hash.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// From a fingerprint to who was kept with it first: a place in the list of names.
type Table = HashMap<u64, u64, BuildHasherDefault<AsIs>>;

/// The conversations that were kept so far.
pub(super) struct Kept {
    ids: Table,
    texts: Table,
    names: Names,
}

impl Kept {
    pub(super) fn new() -> Result<Self, FileError> {
        Ok(Self { ids: Table::default(), texts: Table::default(), names: Names::new()? })
    }

    /// Whether a conversation with this id was kept.
    pub(super) fn has_id(&self, id: u64) -> bool {
        self.ids.contains_key(&id)
    }

    /// The name of the first that was kept with this text.
    pub(super) fn with_text(&mut self, text: u64) -> Result<Option<String>, FileError> {
        match self.texts.get(&text) {
            Some(place) => self.names.get(*place).map(Some),
            None => Ok(None),
        }
    }

    /// One more that is kept.
    pub(super) fn add(&mut self, id: u64, text: u64, name: &str) -> Result<(), FileError> {
        let place = self.names.add(name)?;
        self.ids.entry(id).or_insert(place);
        self.texts.entry(text).or_insert(place);
        Ok(())
    }
}

/// Names in a temporary file, which are asked for rarely.
struct Names {
    file: BufWriter<File>,
    end: u64,
}

impl Names {
    fn new() -> Result<Self, FileError> {
        let file = tempfile::tempfile().map_err(failed("write"))?;
        Ok(Self { file: BufWriter::new(file), end: 0 })
    }

    fn add(&mut self, name: &str) -> Result<u64, FileError> {
        let place = self.end;
        let length = u32::try_from(name.len()).unwrap_or(0);
        self.file.write_all(&length.to_le_bytes()).map_err(failed("write"))?;
        self.file.write_all(&name.as_bytes()[..length as usize]).map_err(failed("write"))?;
        self.end += 4 + u64::from(length);
        Ok(place)
    }

    fn get(&mut self, place: u64) -> Result<String, FileError> {
        let read = |file: &mut BufWriter<File>, end| {
            file.flush()?;
            let file = file.get_mut();
            file.seek(SeekFrom::Start(place))?;
            let mut length = [0; 4];
            file.read_exact(&mut length)?;
            let mut name = vec![0; u32::from_le_bytes(length) as usize];
            file.read_exact(&mut name)?;
            file.seek(SeekFrom::Start(end))?;
            Ok(String::from_utf8_lossy(&name).into_owned())
        };
        read(&mut self.file, self.end).map_err(failed("read"))
    }
}

fn failed(action: &'static str) -> impl FnOnce(std::io::Error) -> FileError {
    FileError::io(Path::new("temporary file of ids"), action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_with_a_text_is_named() {
        let mut kept = Kept::new().unwrap();
        for (id, text, name) in [(1, 10, "a"), (2, 20, "é"), (3, 10, "c")] {
            kept.add(id, text, name).unwrap();
        }
        assert!(kept.has_id(3) && !kept.has_id(4));
        assert_eq!(kept.with_text(20).unwrap().as_deref(), Some("é"));
        kept.add(4, 40, "d").unwrap();
        assert_eq!(kept.with_text(10).unwrap().as_deref(), Some("a"));
        assert_eq!(kept.with_text(40).unwrap().as_deref(), Some("d"));
        assert_eq!(kept.with_text(50).unwrap(), None);
    }
}
