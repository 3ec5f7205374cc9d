//! The blocks of the cache: who holds them, and what they still know.
//!
//! A full block is known by the tokens it holds and the block before it, so that blocks form chains:
//! two sequences that begin alike hold the same blocks. A block that no sequence holds keeps its
//! content until it is needed, those let go longest ago first.

use std::collections::{BTreeMap, HashMap};

/// What a full block holds: its tokens, after those of the chain up to `parent`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Content {
    parent: Chain,
    ids: Box<[u32]>,
}

/// A chain of full blocks from the start of a text, never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Chain(u64);

#[derive(Debug, Default)]
struct Block {
    users: usize,
    /// What it holds, as the end of which chain.
    known: Option<(Content, Chain)>,
    /// When it was let go, while nobody holds it.
    idle_since: u64,
}

/// All blocks of a cache.
#[derive(Debug)]
pub(super) struct BlockPool {
    positions: usize,
    blocks: Vec<Block>,
    /// Blocks that hold nothing worth keeping.
    blank: Vec<u32>,
    /// Blocks with content that nobody holds, by when they were let go.
    idle: BTreeMap<u64, u32>,
    by_content: HashMap<Content, u32>,
    chains: u64,
    clock: u64,
}

impl BlockPool {
    /// `count` blocks of `positions` positions.
    pub fn new(count: usize, positions: usize) -> Self {
        Self {
            positions,
            blocks: (0..count).map(|_| Block::default()).collect(),
            blank: (0..count as u32).rev().collect(),
            idle: BTreeMap::new(),
            by_content: HashMap::new(),
            chains: 0,
            clock: 0,
        }
    }

    /// Positions of a block.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Number of blocks.
    pub fn total(&self) -> usize {
        self.blocks.len()
    }

    /// Blocks that could be taken.
    pub fn available(&self) -> usize {
        self.blank.len() + self.idle.len()
    }

    /// The start of texts of another model: blocks of two chains are never the same.
    pub fn new_chain(&mut self) -> Chain {
        self.chains += 1;
        Chain(self.chains)
    }

    /// Holds the blocks that are there for the start of `ids`, `most` positions at most, and returns
    /// them with the chain they make up.
    pub fn find(&mut self, root: Chain, ids: &[u32], most: usize) -> (Vec<u32>, Chain) {
        let (mut found, mut chain) = (Vec::new(), root);
        for ids in ids[..most].chunks_exact(self.positions) {
            let content = Content { parent: chain, ids: ids.into() };
            let Some(&block) = self.by_content.get(&content) else { break };
            let state = &mut self.blocks[block as usize];
            if state.users == 0 {
                self.idle.remove(&state.idle_since);
            }
            state.users += 1;
            chain = state.known.as_ref().map_or(chain, |(_, chain)| *chain);
            found.push(block);
        }
        (found, chain)
    }

    /// A block to write in, if one is left; what it held is forgotten.
    pub fn take(&mut self) -> Option<u32> {
        let block = match self.blank.pop() {
            Some(block) => block,
            None => self.idle.pop_first()?.1,
        };
        let state = &mut self.blocks[block as usize];
        state.users = 1;
        if let Some((content, _)) = state.known.take() {
            self.by_content.remove(&content);
        }
        Some(block)
    }

    /// Says that `block` now holds `ids` after those of `parent`, and returns the longer chain.
    pub fn fill(&mut self, block: u32, parent: Chain, ids: &[u32]) -> Chain {
        let content = Content { parent, ids: ids.into() };
        if let Some(&same) = self.by_content.get(&content) {
            // Another sequence computed it at the same time; the same bits, of which one is enough.
            return self.blocks[same as usize].known.as_ref().map_or(parent, |(_, chain)| *chain);
        }
        let chain = self.new_chain();
        self.blocks[block as usize].known = Some((content.clone(), chain));
        self.by_content.insert(content, block);
        chain
    }

    /// Lets go of the blocks of a sequence, in their order. The end of a text is forgotten before its
    /// start.
    pub fn release(&mut self, blocks: &[u32]) {
        for &block in blocks.iter().rev() {
            let state = &mut self.blocks[block as usize];
            state.users -= 1;
            if state.users > 0 {
                continue;
            }
            if state.known.is_some() {
                self.clock += 1;
                state.idle_since = self.clock;
                self.idle.insert(self.clock, block);
            } else {
                self.blank.push(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool of 4 blocks of 2 positions.
    fn pool() -> (BlockPool, Chain) {
        let mut pool = BlockPool::new(4, 2);
        let root = pool.new_chain();
        (pool, root)
    }

    /// Blocks filled with `ids`.
    fn write(pool: &mut BlockPool, root: Chain, ids: &[u32]) -> Vec<u32> {
        let (mut blocks, mut chain) = (Vec::new(), root);
        for ids in ids.chunks_exact(2) {
            let block = pool.take().unwrap();
            chain = pool.fill(block, chain, ids);
            blocks.push(block);
        }
        blocks
    }

    #[test]
    fn texts_that_begin_alike_share_their_first_blocks() {
        let (mut pool, root) = pool();
        let blocks = write(&mut pool, root, &[1, 2, 3, 4]);
        assert_eq!(pool.find(root, &[1, 2, 3, 5, 6], 4).0, blocks[..1]);
        assert_eq!(pool.find(root, &[1, 2, 3, 4, 5], 5).0, blocks);
        assert_eq!(pool.find(root, &[1, 2, 3, 4], 3).0, blocks[..1], "no more than asked for");
        assert!(pool.find(root, &[3, 4], 2).0.is_empty(), "the same tokens after others are another block");
        let other = pool.new_chain();
        assert!(pool.find(other, &[1, 2], 2).0.is_empty(), "and so are those of another model");
    }

    #[test]
    fn what_is_held_stays_and_what_was_let_go_first_goes_first() {
        let (mut pool, root) = pool();
        let old = write(&mut pool, root, &[1, 2, 3, 4]);
        let new = write(&mut pool, root, &[5, 6]);
        pool.release(&old);
        pool.release(&new);
        assert_eq!(pool.available(), 4);
        let (held, _) = pool.find(root, &[5, 6], 2);
        assert_eq!(held, new);
        // The blank one, then the end of the old text, then its start.
        let taken: Vec<u32> = std::iter::from_fn(|| pool.take()).collect();
        assert_eq!(taken[1..], [old[1], old[0]]);
        assert_eq!(taken.len(), 3, "the held one is not given away");
        pool.release(&taken);
        assert!(pool.find(root, &[1, 2], 2).0.is_empty());
        assert_eq!(pool.find(root, &[5, 6], 2).0, new);
    }

    #[test]
    fn a_block_computed_twice_continues_one_chain() {
        let (mut pool, root) = pool();
        let (a, b) = (pool.take().unwrap(), pool.take().unwrap());
        let chain = pool.fill(a, root, &[1, 2]);
        assert_eq!(pool.fill(b, root, &[1, 2]), chain);
        pool.release(&[b]);
        assert_eq!(pool.blank.last(), Some(&b), "the second copy is not kept");
    }
}
