//! Text of 16-bit units (UTF-16), as Windows programs save it, read as UTF-8.

use std::io::{self, Read};

/// Which byte of a unit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    LowFirst,
    HighFirst,
}

impl Order {
    /// What the byte-order mark at the start of a text says. A binary file can begin with the same two
    /// bytes; a text has no unit of zero.
    pub(crate) fn of(start: &[u8]) -> Option<Self> {
        let (order, rest) = match start {
            [0xff, 0xfe, rest @ ..] => (Self::LowFirst, rest),
            [0xfe, 0xff, rest @ ..] => (Self::HighFirst, rest),
            _ => return None,
        };
        let text =
            char::decode_utf16(rest.chunks_exact(2).map(|pair| order.unit([pair[0], pair[1]])).take(64));
        text.into_iter().take(32).all(|unit| unit.is_ok_and(|unit| unit != '\0')).then_some(order)
    }

    fn unit(self, pair: [u8; 2]) -> u16 {
        match self {
            Self::LowFirst => u16::from_le_bytes(pair),
            Self::HighFirst => u16::from_be_bytes(pair),
        }
    }
}

/// Reads UTF-16 as UTF-8. Half of a surrogate pair, or of a unit at the end, becomes U+FFFD.
pub(crate) struct Utf16<R> {
    inner: R,
    order: Order,
    /// The first byte of a unit whose second is still to come.
    byte: Option<u8>,
    /// A high surrogate whose low one is still to come.
    high: Option<u16>,
    out: Vec<u8>,
    /// How much of `out` was handed over.
    given: usize,
    ended: bool,
}

impl<R: Read> Utf16<R> {
    /// Reads on after the byte-order mark.
    pub(crate) fn new(inner: R, order: Order) -> Self {
        Self { inner, order, byte: None, high: None, out: Vec::new(), given: 0, ended: false }
    }

    fn push(&mut self, unit: u16) {
        let units = self.high.take().into_iter().chain([unit]);
        if (0xd800..0xdc00).contains(&unit) {
            if units.count() == 2 {
                self.write(char::REPLACEMENT_CHARACTER);
            }
            self.high = Some(unit);
            return;
        }
        for decoded in char::decode_utf16(units).collect::<Vec<_>>() {
            self.write(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }

    fn write(&mut self, letter: char) {
        self.out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn fill(&mut self) -> io::Result<()> {
        self.out.clear();
        self.given = 0;
        let mut chunk = [0; 8192];
        let read = self.inner.read(&mut chunk)?;
        for byte in &chunk[..read] {
            match self.byte.take() {
                None => self.byte = Some(*byte),
                Some(first) => self.push(self.order.unit([first, *byte])),
            }
        }
        if read == 0 {
            self.ended = true;
            let half = self.byte.take().map(u16::from).or(self.high.take());
            if half.is_some() {
                self.write(char::REPLACEMENT_CHARACTER);
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.out.len() && !self.ended {
            self.fill()?;
        }
        let rest = &self.out[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_byte_orders_are_read_and_binary_data_are_not_taken_for_text() {
        let text = format!("a,é\n\u{1F600},{}", "x".repeat(9000));
        for (order, to_bytes) in
            [(Order::LowFirst, u16::to_le_bytes as fn(u16) -> [u8; 2]), (Order::HighFirst, u16::to_be_bytes)]
        {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(to_bytes).collect();
            let mut read = String::new();
            Utf16::new(bytes.as_slice(), order).read_to_string(&mut read).unwrap();
            assert_eq!(read, text);
            let marked: Vec<u8> = to_bytes(0xfeff).into_iter().chain(bytes).collect();
            assert_eq!(Order::of(&marked), Some(order));
        }
        let mut lone = String::new();
        Utf16::new(&[0x3d, 0xd8, 0x61, 0][..], Order::LowFirst).read_to_string(&mut lone).unwrap();
        assert_eq!(lone, "\u{fffd}a");
        // The length of a safetensors header.
        assert_eq!(Order::of(&[0xff, 0xfe, 1, 0, 0, 0, 0, 0, b'{', b'"']), None);
    }
}
