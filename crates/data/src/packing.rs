//! Examples laid end to end and cut into blocks of one length.

use std::ops::Range;

use camelid_chat::IGNORE_INDEX;

use crate::DataError;
use crate::tokens::Example;

/// The part of an example that lies in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of the example among those packed.
    pub example: usize,
    /// Where it lies in the block.
    pub range: Range<usize>,
    /// Its first token's place in the example; not 0 when the example began in
    /// the block before.
    pub offset: usize,
}

/// A block of packed examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedBlock {
    /// Ids and labels, not shifted, as in any example; its id is `pack:<index>`.
    pub example: Example,
    /// What lies where, in order, covering the block.
    pub segments: Vec<Segment>,
}

/// Concatenates examples in order and cuts the result every `block_len` tokens.
///
/// An example's first label is set to `IGNORE_INDEX`: it would be predicted from
/// the example before. Attention is not cut at boundaries; `segments` records
/// them. The last, shorter block is kept with `keep_tail`, else left out.
///
/// # Errors
/// [`DataError::Option`] for `block_len` below 2, and an example whose ids and
/// labels differ in number.
pub fn pack(examples: &[Example], block_len: usize, keep_tail: bool) -> Result<Vec<PackedBlock>, DataError> {
    if block_len < 2 {
        return Err(DataError::Option(format!(
            "packing into blocks of {block_len} leaves nothing to predict; use 2 or more"
        )));
    }
    let mut blocks = Vec::new();
    let mut block = empty_block(0, block_len);
    for (index, example) in examples.iter().enumerate() {
        if example.ids.len() != example.labels.len() {
            return Err(DataError::Option(format!(
                "example {} has {} ids and {} labels",
                example.id,
                example.ids.len(),
                example.labels.len()
            )));
        }
        let mut offset = 0;
        while offset < example.ids.len() {
            let start = block.example.ids.len();
            let count = (block_len - start).min(example.ids.len() - offset);
            let taken = offset..offset + count;
            block.example.ids.extend_from_slice(&example.ids[taken.clone()]);
            block.example.labels.extend_from_slice(&example.labels[taken]);
            if offset == 0 {
                block.example.labels[start] = IGNORE_INDEX;
            }
            block.segments.push(Segment { example: index, range: start..start + count, offset });
            offset += count;
            if start + count == block_len {
                let next = empty_block(blocks.len() + 1, block_len);
                blocks.push(std::mem::replace(&mut block, next));
            }
        }
    }
    if keep_tail && !block.example.ids.is_empty() {
        blocks.push(block);
    }
    Ok(blocks)
}

fn empty_block(index: usize, block_len: usize) -> PackedBlock {
    PackedBlock {
        example: Example {
            id: format!("pack:{index}"),
            ids: Vec::with_capacity(block_len),
            labels: Vec::with_capacity(block_len),
        },
        segments: Vec::new(),
    }
}
