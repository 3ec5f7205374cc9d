//! The values of a JSON text one at a time, as bytes, found by their brackets.

use std::io::BufRead;

use super::Place;
use crate::{FileError, Input};

/// Cuts a JSON text into its top values. What they hold is parsed, and judged, by others.
pub(super) struct Scan {
    input: Input,
    mode: Mode,
    /// Items or lines seen.
    count: u64,
    value: Vec<u8>,
    put_back: Option<Place>,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Between the brackets of one array; the first bracket is read with the first item.
    Array,
    /// A value a line.
    Lines,
    /// Values one after the other.
    Values,
}

/// What the scan came to.
pub(super) enum Scanned<'a> {
    Value(Place, &'a [u8]),
    End,
}

impl Scan {
    pub(super) fn array(input: Input) -> Self {
        Self::new(input, Mode::Array)
    }

    /// Objects a line when the first line is a whole one, or when the second begins an object at its
    /// very start, so that a first line that is cut off does not take the others with it.
    pub(super) fn objects(input: Input) -> Result<Self, FileError> {
        let mut scan = Self::new(input, Mode::Lines);
        let start = scan.input.start();
        let mut lines = start.split(|byte| *byte == b'\n').map(trimmed).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let whole = is_whole(first);
        let second = lines.next();
        // A first line longer than the start tells nothing; indented JSON has short lines.
        let long = second.is_none() && start.len() > 1024;
        if !(whole || long || second.is_some_and(|line| line.starts_with(b"{\""))) {
            scan.mode = Mode::Values;
        }
        Ok(scan)
    }

    /// Arrays a line: the first line is a whole one and the second begins another.
    pub(super) fn arrays_by_lines(input: Input) -> Result<Self, Input> {
        let mut lines =
            input.start().split(|byte| *byte == b'\n').map(trimmed).filter(|line| !line.is_empty());
        let first = lines.next().unwrap_or_default();
        let second = lines.next().unwrap_or_default();
        let by_lines = is_whole(first) && second.starts_with(b"[");
        if by_lines { Ok(Self::new(input, Mode::Lines)) } else { Err(input) }
    }

    fn new(input: Input, mode: Mode) -> Self {
        Self { input, mode, count: 0, value: Vec::new(), put_back: None, ended: false }
    }

    pub(super) fn by_lines(&self) -> bool {
        self.mode == Mode::Lines
    }

    /// Gives a value back, to be met again as the next.
    pub(super) fn put_back(&mut self, place: Place, value: Vec<u8>) {
        self.value = value;
        self.put_back = Some(place);
    }

    /// Whether nothing but blanks is left.
    pub(super) fn at_end(&mut self) -> Result<bool, FileError> {
        Ok(self.skip_blanks()?.is_none())
    }

    /// The next value.
    pub(super) fn next_value(&mut self) -> Result<Scanned<'_>, FileError> {
        if let Some(place) = self.put_back.take() {
            return Ok(Scanned::Value(place, &self.value));
        }
        self.value.clear();
        match self.mode {
            Mode::Lines => self.next_line(),
            Mode::Values => match self.skip_blanks()? {
                None => Ok(Scanned::End),
                Some(_) => {
                    self.count += 1;
                    self.read_value()?;
                    Ok(Scanned::Value(Place::Item(self.count), &self.value))
                }
            },
            Mode::Array => self.next_item(),
        }
    }

    fn next_line(&mut self) -> Result<Scanned<'_>, FileError> {
        loop {
            self.value.clear();
            let read =
                self.input.read_until(b'\n', &mut self.value).map_err(|cause| self.input.error(cause))?;
            if read == 0 {
                return Ok(Scanned::End);
            }
            self.count += 1;
            if !trimmed(&self.value).is_empty() {
                return Ok(Scanned::Value(Place::Line(self.count), trimmed(&self.value)));
            }
        }
    }

    fn next_item(&mut self) -> Result<Scanned<'_>, FileError> {
        if self.ended {
            return Ok(Scanned::End);
        }
        let separator = self.skip_blanks()?;
        match separator {
            Some(b'[') if self.count == 0 => self.input.consume(1),
            Some(b',') if self.count > 0 => self.input.consume(1),
            Some(b']') if self.count > 0 => return self.close(),
            None => return Err(self.cut_off()),
            Some(_) => return Err(self.content(format!("no comma or bracket after item {}", self.count))),
        }
        match self.skip_blanks()? {
            None => Err(self.cut_off()),
            Some(b']') if self.count == 0 => self.close(),
            Some(b',' | b']') => Err(self.content(format!("no value after item {}", self.count))),
            Some(_) => {
                self.count += 1;
                if !self.read_value()? {
                    return Err(self.cut_off());
                }
                Ok(Scanned::Value(Place::Item(self.count), &self.value))
            }
        }
    }

    /// After the last bracket nothing may follow.
    fn close(&mut self) -> Result<Scanned<'_>, FileError> {
        self.input.consume(1);
        self.ended = true;
        match self.skip_blanks()? {
            None => Ok(Scanned::End),
            Some(_) => Err(self.content("more text after the end of the JSON array".to_owned())),
        }
    }

    /// Reads one value; false when the text ends inside of it.
    fn read_value(&mut self) -> Result<bool, FileError> {
        let mut brackets = Brackets::default();
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(cause) => return Err(self.input.error(cause)),
            };
            if chunk.is_empty() {
                return Ok(brackets.plain());
            }
            let end = brackets.run(chunk);
            let taken = end.unwrap_or(chunk.len());
            self.value.extend_from_slice(&chunk[..taken]);
            self.input.consume(taken);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// The next byte that is not blank, left where it is.
    fn skip_blanks(&mut self) -> Result<Option<u8>, FileError> {
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(cause) => return Err(self.input.error(cause)),
            };
            if chunk.is_empty() {
                return Ok(None);
            }
            let blanks = chunk.iter().take_while(|byte| is_blank(byte)).count();
            let found = chunk.get(blanks).copied();
            if self.mode == Mode::Lines {
                self.count += chunk[..blanks].iter().filter(|byte| **byte == b'\n').count() as u64;
            }
            self.input.consume(blanks);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn cut_off(&self) -> FileError {
        self.content(format!("the JSON array is cut off at item {}", self.count.max(1)))
    }

    fn content(&self, message: String) -> FileError {
        FileError::Content { path: self.input.path().to_owned(), message }
    }
}

/// White space, and the bytes of a byte-order mark that files joined end to end have between values.
pub(super) fn is_blank(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || b"\xef\xbb\xbf".contains(byte)
}

/// A line without white space around it and byte-order marks before it.
pub(super) fn trimmed(line: &[u8]) -> &[u8] {
    let mut line = line.trim_ascii();
    while let Some(rest) = line.strip_prefix(b"\xef\xbb\xbf") {
        line = rest.trim_ascii_start();
    }
    line
}

/// Whether a line is one value and nothing more.
fn is_whole(line: &[u8]) -> bool {
    Brackets::default().run(line).is_some_and(|end| end == line.len())
}

/// Counts brackets, minding texts, until the value that they hold ends.
#[derive(Default)]
struct Brackets {
    depth: usize,
    in_text: bool,
    escaped: bool,
    begun: bool,
}

impl Brackets {
    /// Runs over bytes; where the value ends in them, how many belong to it.
    fn run(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => {
                        self.in_text = false;
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                // The bracket of the array around a number or word.
                b'}' | b']' if self.depth == 0 => return Some(at),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                b',' if self.depth == 0 => return Some(at),
                byte if self.depth == 0 && self.begun && byte.is_ascii_whitespace() => return Some(at),
                _ => {}
            }
            self.begun = true;
        }
        None
    }

    /// Whether what was read can stand at the end of a text: a number or a word.
    fn plain(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_text
    }
}
