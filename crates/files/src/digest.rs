//! SHA-256 and hexadecimal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::FileError;

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// SHA-256 of bytes, in hexadecimal.
pub fn of_bytes(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// Size in bytes and SHA-256 of a file, read in pieces.
///
/// # Errors
/// [`FileError::Io`] when it cannot be read.
pub fn of_file(path: &Path) -> Result<(u64, String), FileError> {
    let mut file = File::open(path).map_err(FileError::io(path, "open"))?;
    let mut sum = Sum::default();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).map_err(FileError::io(path, "read"))?;
        if count == 0 {
            return Ok((size, sum.finish()));
        }
        sum.add(&buffer[..count]);
        size += count as u64;
    }
}

/// A SHA-256 in the making, for what is not one slice or file. It is a [`Write`], so that
/// `serde_json::to_writer` and the like can be summed without a copy.
#[derive(Debug, Clone, Default)]
pub struct Sum(Sha256);

impl Sum {
    /// Adds bytes.
    pub fn add(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// The sum of all that was added, in hexadecimal.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn bytes_files_and_pieces_agree_with_the_standard() {
        assert_eq!(of_bytes("abc"), ABC);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(of_file(&path).unwrap(), (3, ABC.to_owned()));
        let mut sum = Sum::default();
        sum.add("a").add("bc");
        assert_eq!(sum.finish(), ABC);
    }
}
