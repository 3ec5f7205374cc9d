//! Separated values without the blanks that some programs put around quoted cells: `"a", "b"`.

use std::io::{self, Read};

/// Leaves out blanks between a separator and a quote, on either side of the cell. Blanks of cells
/// without quotes stay.
pub(super) struct Unspaced<R> {
    inner: R,
    separator: u8,
    at: At,
    /// Blanks that stay unless a quote, a separator or the end of the line follows.
    blanks: Vec<u8>,
    out: Vec<u8>,
    given: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    CellStart,
    Plain,
    Quoted,
    /// After a quote within a quoted cell: its end, or the first of two that stand for one.
    AfterQuote,
}

impl<R: Read> Unspaced<R> {
    pub(super) fn new(inner: R, separator: u8) -> Self {
        Self { inner, separator, at: At::CellStart, blanks: Vec::new(), out: Vec::new(), given: 0 }
    }

    fn push(&mut self, byte: u8) {
        let blank = byte == b' ' || (byte == b'\t' && self.separator != b'\t');
        let ends = byte == self.separator || byte == b'\n' || byte == b'\r';
        match self.at {
            At::CellStart | At::AfterQuote if blank => return self.blanks.push(byte),
            At::CellStart if byte == b'"' => {
                self.blanks.clear();
                self.at = At::Quoted;
            }
            At::CellStart => self.at = if ends { At::CellStart } else { At::Plain },
            At::Plain if ends => self.at = At::CellStart,
            At::Plain => {}
            At::Quoted if byte == b'"' => self.at = At::AfterQuote,
            At::Quoted => {}
            At::AfterQuote if byte == b'"' && self.blanks.is_empty() => self.at = At::Quoted,
            At::AfterQuote if ends => {
                self.blanks.clear();
                self.at = At::CellStart;
            }
            At::AfterQuote => self.at = At::Plain,
        }
        self.out.append(&mut self.blanks);
        self.out.push(byte);
    }
}

impl<R: Read> Read for Unspaced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.out.len() {
            self.out.clear();
            self.given = 0;
            let mut chunk = [0; 8192];
            let read = self.inner.read(&mut chunk)?;
            if read == 0 {
                if self.at == At::AfterQuote {
                    self.blanks.clear();
                }
                if self.blanks.is_empty() {
                    return Ok(0);
                }
                self.out.append(&mut self.blanks);
            }
            chunk[..read].iter().for_each(|byte| self.push(*byte));
        }
        let rest = &self.out[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}
