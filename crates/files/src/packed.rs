//! Whole files that are compressed as they are written.

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::{FileError, Packing, WholeFile};

/// A file in the making, compressed as the ending of its name says: gzip for `.gz`, Zstandard for
/// `.zst`, else not at all. As a [`WholeFile`] it appears on [`PackedFile::finish`] or never.
pub struct PackedFile {
    packer: Packer,
    path: std::path::PathBuf,
}

enum Packer {
    Plain(WholeFile),
    Gzip(Box<GzEncoder<WholeFile>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, WholeFile>>),
}

impl PackedFile {
    /// Begins a file beside `path`.
    ///
    /// # Errors
    /// As [`WholeFile::create`].
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let file = WholeFile::create(path)?;
        let packer = match Packing::named(path) {
            Packing::Plain => Packer::Plain(file),
            Packing::Gzip => Packer::Gzip(Box::new(GzEncoder::new(file, Compression::default()))),
            Packing::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL);
                Packer::Zstd(Box::new(encoder.map_err(FileError::io(path, "write"))?))
            }
        };
        Ok(Self { packer, path: path.to_owned() })
    }

    /// Ends the compressed data and gives the file its name.
    ///
    /// # Errors
    /// As [`WholeFile::finish`].
    pub fn finish(self) -> Result<(), FileError> {
        let file = match self.packer {
            Packer::Plain(file) => Ok(file),
            Packer::Gzip(encoder) => encoder.finish(),
            Packer::Zstd(encoder) => encoder.finish(),
        };
        file.map_err(FileError::io(&self.path, "write"))?.finish()
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.packer {
            Packer::Plain(file) => file,
            Packer::Gzip(encoder) => encoder,
            Packer::Zstd(encoder) => encoder,
        }
    }
}

impl Write for PackedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Input;

    #[test]
    fn what_is_written_packed_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        for (name, packing) in
            [("a.json", Packing::Plain), ("a.json.gz", Packing::Gzip), ("a.jsonl.zst", Packing::Zstd)]
        {
            let path = folder.path().join(name);
            let mut file = PackedFile::create(&path).unwrap();
            file.write_all(b"[1, 2]").unwrap();
            assert!(!path.exists(), "{name} appears when it is finished");
            file.finish().unwrap();
            let input = Input::open(&path).unwrap();
            assert_eq!(input.packing(), packing);
            assert_eq!(input.text().unwrap(), "[1, 2]");
        }
    }
}
