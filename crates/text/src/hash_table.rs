//! A hash table that goes to a temporary file when it grows, so that memory stays bounded.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

/// Slots in memory at most: 16 MiB.
const IN_MEMORY: u64 = 1 << 20;
/// Slots behind the last, for what does not fit at the end: probing never begins anew at the front.
const TAIL: u64 = 1 << 12;
/// Slots that are read at a time.
const CHUNK: usize = 32;
/// Bytes of a slot: a key, 0 where it is free, and a value.
const SLOT: usize = 16;

/// From keys, which are hashes already, to numbers. The first value of a key stays.
///
/// A key's slot is its upper bits, or the next free one behind: slots are in the order of their keys
/// but for collisions, and a table of twice the size is written from front to back.
pub struct HashTable {
    slots: Slots,
    /// Twice as many slots as two to the power of these bits would hold keys.
    bits: u32,
    used: u64,
    in_memory: u64,
}

enum Slots {
    Memory(Vec<u8>),
    File(File),
}

impl HashTable {
    pub fn new() -> Self {
        Self::with_memory(IN_MEMORY)
    }

    fn with_memory(in_memory: u64) -> Self {
        let bits = 10;
        Self { slots: Slots::Memory(vec![0; length(bits)]), bits, used: 0, in_memory }
    }

    /// The value of a key.
    pub fn get(&mut self, key: u64) -> io::Result<Option<u64>> {
        Ok(self.find(key.max(1))?.1)
    }

    /// Adds a key, unless it is there.
    pub fn add(&mut self, key: u64, value: u64) -> io::Result<()> {
        let key = key.max(1);
        let (at, found) = self.find(key)?;
        if found.is_some() {
            return Ok(());
        }
        let slot = slot(key, value);
        match &mut self.slots {
            Slots::Memory(bytes) => bytes[at as usize * SLOT..][..SLOT].copy_from_slice(&slot),
            Slots::File(file) => {
                file.seek(SeekFrom::Start(at * SLOT as u64))?;
                file.write_all(&slot)?;
            }
        }
        self.used += 1;
        if 2 * self.used > 1 << self.bits { self.grow() } else { Ok(()) }
    }

    /// The slot of a key or the free one where it belongs, and its value.
    fn find(&mut self, key: u64) -> io::Result<(u64, Option<u64>)> {
        let mut at = key >> (64 - self.bits);
        let mut chunk = [0; CHUNK * SLOT];
        loop {
            let slots: &[u8] = match &mut self.slots {
                Slots::Memory(bytes) => &bytes[at as usize * SLOT..],
                Slots::File(file) => {
                    file.seek(SeekFrom::Start(at * SLOT as u64))?;
                    let read = read_up_to(file, &mut chunk)?;
                    &chunk[..read]
                }
            };
            for found in slots.chunks_exact(SLOT) {
                match parts(found) {
                    (0, _) => return Ok((at, None)),
                    (own, value) if own == key => return Ok((at, Some(value))),
                    _ => at += 1,
                }
            }
            if slots.is_empty() {
                return Err(io::Error::other("the table of hashes is full at its end"));
            }
        }
    }

    /// Twice the slots.
    fn grow(&mut self) -> io::Result<()> {
        let bits = self.bits + 1;
        let old: Box<dyn Read + '_> = match &mut self.slots {
            Slots::Memory(bytes) => Box::new(io::Cursor::new(&bytes[..])),
            Slots::File(file) => {
                file.seek(SeekFrom::Start(0))?;
                Box::new(BufReader::with_capacity(1 << 20, file))
            }
        };
        self.slots = if 1 << bits <= self.in_memory {
            let mut bytes = Vec::with_capacity(length(bits));
            copy(old, &mut bytes, bits)?;
            Slots::Memory(bytes)
        } else {
            let mut writer = BufWriter::with_capacity(1 << 20, tempfile::tempfile()?);
            copy(old, &mut writer, bits)?;
            Slots::File(writer.into_inner().map_err(io::IntoInnerError::into_error)?)
        };
        self.bits = bits;
        Ok(())
    }
}

/// Copies the keys of a table into one of `bits`. Those between two free slots are sorted first: no
/// key of the slots behind them is smaller.
fn copy(mut old: Box<dyn Read + '_>, new: &mut dyn Write, bits: u32) -> io::Result<()> {
    let mut run: Vec<(u64, u64)> = Vec::new();
    let mut written = 0;
    let mut bytes = [0; SLOT];
    loop {
        let end = read_up_to(&mut old, &mut bytes)? < SLOT;
        match parts(&bytes) {
            (key, value) if !end && key != 0 => run.push((key, value)),
            _ => {
                run.sort_unstable();
                for (key, value) in run.drain(..) {
                    while written < key >> (64 - bits) {
                        new.write_all(&[0; SLOT])?;
                        written += 1;
                    }
                    new.write_all(&slot(key, value))?;
                    written += 1;
                }
            }
        }
        if end {
            break;
        }
    }
    while written < (1 << bits) + TAIL {
        new.write_all(&[0; SLOT])?;
        written += 1;
    }
    Ok(())
}

/// Bytes of a table.
fn length(bits: u32) -> usize {
    ((1 << bits) + TAIL as usize) * SLOT
}

fn slot(key: u64, value: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&key.to_le_bytes());
    slot[8..].copy_from_slice(&value.to_le_bytes());
    slot
}

fn parts(slot: &[u8]) -> (u64, u64) {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    (number(&slot[..8]), number(&slot[8..]))
}

fn read_up_to(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match from.read(&mut bytes[read..])? {
            0 => break,
            count => read += count,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_holds_what_was_added_in_memory_and_in_a_file() {
        for in_memory in [1 << 20, 1 << 11] {
            let mut table = HashTable::with_memory(in_memory);
            // Keys in runs that collide, and spread ones.
            let key =
                |n: u64| if n.is_multiple_of(3) { n << 40 } else { n.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
            for n in 0..5000 {
                table.add(key(n), n).unwrap();
                table.add(key(n), 9).unwrap();
            }
            assert!((0..5000).all(|n| table.get(key(n)).unwrap() == Some(n)), "{in_memory}");
            assert!((5000..9000).all(|n| table.get(key(n)).unwrap().is_none()));
        }
    }
}
