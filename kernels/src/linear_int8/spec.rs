//! What the bytes of an 8-bit matrix mean.

use half::f16;

/// Values under one scale, along a row.
pub const INT8_BLOCK: usize = 32;

/// Rows that lie side by side, so that one vector instruction serves sixteen of them.
pub(super) const PANEL: usize = 32;

/// Values of a row that an instruction multiplies and adds at once.
pub(super) const GROUP: usize = 4;

/// What is added to a signed value to store it: the instructions take one operand without a sign.
pub(super) const OFFSET: u8 = 128;

/// Bytes of the scales of a block of all rows of a panel, and of its minima.
pub(super) const SCALES_BYTES: usize = PANEL * size_of::<f16>();

/// How the values of a block are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Int8Codes {
    /// Signed bytes: a value is `scale · code`.
    Bytes,
    /// 4-bit codes: a value is `scale · table[code]`, and with minima `scale · table[code] + minimum`.
    Nibbles {
        /// What the codes stand for.
        table: [i8; 16],
        /// Whether each block has a minimum beside its scale.
        minima: bool,
    },
}

/// The description of a packed `[out_features, in_features]` matrix that travels beside its bytes.
///
/// The bytes are a layout for this machine's kernels, made by [`Int8Packer`](super::Int8Packer), not
/// a format for files: panels of 32 rows (the last one filled up with zeros); in each, block after
/// block, the 32 scales in f16, the minima where there are any, and the codes of the rows by fours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int8Spec {
    /// How blocks are coded.
    pub codes: Int8Codes,
    /// Rows of the matrix.
    pub out_features: usize,
    /// Columns of the matrix.
    pub in_features: usize,
}

impl Int8Spec {
    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.in_features.div_ceil(INT8_BLOCK)
    }

    /// Bytes of the packed matrix.
    pub fn packed_len(&self) -> usize {
        self.panels() * self.panel_bytes()
    }

    pub(super) fn panels(&self) -> usize {
        self.out_features.div_ceil(PANEL)
    }

    pub(super) fn panel_bytes(&self) -> usize {
        self.blocks() * self.layout().block_bytes()
    }

    pub(super) fn layout(&self) -> Layout {
        match self.codes {
            Int8Codes::Bytes => Layout { nibbles: false, minima: false },
            Int8Codes::Nibbles { minima, .. } => Layout { nibbles: true, minima },
        }
    }

    /// The sixteen values of a 4-bit code as they are stored; all the same for bytes.
    pub(super) fn stored_table(&self) -> [u8; 16] {
        match self.codes {
            Int8Codes::Bytes => [OFFSET; 16],
            Int8Codes::Nibbles { table, .. } => table.map(stored),
        }
    }

    /// Where the scale of a block of a row is.
    pub(super) fn scale_at(&self, row: usize, block: usize) -> usize {
        row / PANEL * self.panel_bytes()
            + block * self.layout().block_bytes()
            + row % PANEL * size_of::<f16>()
    }

    /// Byte and shift at which the code of a value is found.
    pub(super) fn code_at(&self, row: usize, column: usize) -> (usize, u32) {
        let layout = self.layout();
        let (block, within) = (column / INT8_BLOCK, column % INT8_BLOCK);
        let start = row / PANEL * self.panel_bytes() + block * layout.block_bytes() + layout.codes_at();
        let half = INT8_BLOCK / 2;
        let (within, shift) = if layout.nibbles && within >= half { (within - half, 4) } else { (within, 0) };
        let group = within / GROUP * PANEL * GROUP;
        (start + group + row % PANEL * GROUP + within % GROUP, shift)
    }
}

/// Where things are within a block of a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub nibbles: bool,
    pub minima: bool,
}

impl Layout {
    /// Where the codes begin.
    pub fn codes_at(self) -> usize {
        if self.minima { 2 * SCALES_BYTES } else { SCALES_BYTES }
    }

    pub fn block_bytes(self) -> usize {
        let codes = PANEL * INT8_BLOCK;
        self.codes_at() + if self.nibbles { codes / 2 } else { codes }
    }
}

/// A signed value as it is stored.
pub(super) fn stored(value: i8) -> u8 {
    value.cast_unsigned() ^ OFFSET
}

/// A stored value with its sign.
pub(super) fn signed(stored: u8) -> i8 {
    (stored ^ OFFSET).cast_signed()
}

/// The f16 at `at`, widened.
pub(super) fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}
