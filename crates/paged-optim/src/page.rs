//! One page: the state of a fixed run of one tensor's parameters.

use crate::{AdamWConfig, StateBits};

/// Shape of a page: how its parameters' state is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageLayout {
    pub(crate) bits: StateBits,
    /// Parameters whose state this is.
    pub(crate) len: usize,
}

impl PageLayout {
    /// Blocks of 256, the last one perhaps short.
    pub(crate) fn blocks(self) -> usize {
        self.len.div_ceil(AdamWConfig::BLOCK)
    }

    /// Bytes of the page, in memory and in the spill file.
    pub(crate) fn bytes(self) -> usize {
        match self.bits {
            StateBits::Bits32 => 8 * self.len,
            StateBits::Bits8 => 2 * self.len + 8 * self.blocks(),
        }
    }

    /// A page of zeros: the state before the first step.
    pub(crate) fn zeros(self) -> PageData {
        let (floats, codes) = match self.bits {
            StateBits::Bits32 => (self.len, 0),
            StateBits::Bits8 => (self.blocks(), self.len),
        };
        PageData { floats: [vec![0.0; floats], vec![0.0; floats]], codes: [vec![0; codes], vec![0; codes]] }
    }
}

/// Contents of a page. Index 0 is the first moment, 1 the second.
#[derive(Clone, Debug)]
pub(crate) struct PageData {
    /// 32-bit: the moments. 8-bit: the absmax of each block.
    pub(crate) floats: [Vec<f32>; 2],
    /// 8-bit: the codes. 32-bit: empty.
    pub(crate) codes: [Vec<u8>; 2],
}

impl PageData {
    /// The page as bytes, in the order they are written to the spill file.
    pub(crate) fn sections(&self) -> [&[u8]; 4] {
        [
            bytemuck::cast_slice(&self.floats[0]),
            bytemuck::cast_slice(&self.floats[1]),
            &self.codes[0],
            &self.codes[1],
        ]
    }

    /// The same, to be filled.
    pub(crate) fn sections_mut(&mut self) -> [&mut [u8]; 4] {
        let [m, v] = &mut self.floats;
        let [mc, vc] = &mut self.codes;
        [bytemuck::cast_slice_mut(m), bytemuck::cast_slice_mut(v), mc, vc]
    }
}
