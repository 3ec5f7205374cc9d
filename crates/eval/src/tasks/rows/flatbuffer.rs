//! As much of the FlatBuffers encoding as Arrow's metadata needs.
//!
//! A table begins with the distance back to its vtable, which says where each field lies;
//! an offset field holds the distance forward to what it points at. Source: the FlatBuffers
//! internals document, google.github.io/flatbuffers.

/// A place in a buffer. Every access is checked: damaged offsets give `None`.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Table<'a> {
    /// The root table of a buffer.
    pub(super) fn root(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { bytes, at: read_u32(bytes, 0)? as usize })
    }

    /// Where field `index` lies; `None` when it has its default.
    fn field(&self, index: usize) -> Option<usize> {
        let back = i64::from(read_u32(self.bytes, self.at)? as i32);
        let vtable = usize::try_from(i64::try_from(self.at).ok()? - back).ok()?;
        let size = usize::from(read_u16(self.bytes, vtable)?);
        let slot = 4 + 2 * index;
        if slot + 2 > size {
            return None;
        }
        match read_u16(self.bytes, vtable + slot)? {
            0 => None,
            offset => Some(self.at + usize::from(offset)),
        }
    }

    /// A byte, or 0.
    pub(super) fn byte(&self, index: usize) -> u8 {
        self.field(index).and_then(|at| self.bytes.get(at).copied()).unwrap_or(0)
    }

    /// A 16-bit integer, or 0.
    pub(super) fn short(&self, index: usize) -> i16 {
        self.field(index).and_then(|at| read_u16(self.bytes, at)).unwrap_or(0) as i16
    }

    /// A 32-bit integer, or 0.
    pub(super) fn int(&self, index: usize) -> i32 {
        self.field(index).and_then(|at| read_u32(self.bytes, at)).unwrap_or(0) as i32
    }

    /// A 64-bit integer, or 0.
    pub(super) fn long(&self, index: usize) -> i64 {
        self.field(index).and_then(|at| read_u64(self.bytes, at)).unwrap_or(0) as i64
    }

    /// The table that a field points at.
    pub(super) fn table(&self, index: usize) -> Option<Self> {
        Some(Self { bytes: self.bytes, at: follow(self.bytes, self.field(index)?)? })
    }

    /// Whether a field is there.
    pub(super) fn has(&self, index: usize) -> bool {
        self.field(index).is_some()
    }

    /// A text.
    pub(super) fn text(&self, index: usize) -> Option<&'a str> {
        let (start, len) = self.vector(index)?;
        std::str::from_utf8(self.bytes.get(start..start.checked_add(len)?)?).ok()
    }

    /// The tables of a vector of tables; empty when it is not there.
    pub(super) fn tables(&self, index: usize) -> Option<Vec<Self>> {
        let Some((start, len)) = self.vector(index) else { return Some(Vec::new()) };
        // As many offsets as the buffer could hold, whatever the length claims.
        if len > self.bytes.len() / 4 {
            return None;
        }
        (0..len).map(|i| Some(Self { bytes: self.bytes, at: follow(self.bytes, start + 4 * i)? })).collect()
    }

    /// The pairs of 64-bit integers of a vector of such structs.
    pub(super) fn pairs(&self, index: usize) -> Option<Vec<(i64, i64)>> {
        let Some((start, len)) = self.vector(index) else { return Some(Vec::new()) };
        if len > self.bytes.len() / 16 {
            return None;
        }
        (0..len)
            .map(|i| {
                let at = start + 16 * i;
                Some((read_u64(self.bytes, at)? as i64, read_u64(self.bytes, at + 8)? as i64))
            })
            .collect()
    }

    /// Start and number of items of a vector.
    fn vector(&self, index: usize) -> Option<(usize, usize)> {
        let at = follow(self.bytes, self.field(index)?)?;
        Some((at + 4, read_u32(self.bytes, at)? as usize))
    }
}

/// Where the offset at `at` points.
fn follow(bytes: &[u8], at: usize) -> Option<usize> {
    at.checked_add(read_u32(bytes, at)? as usize)
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}
