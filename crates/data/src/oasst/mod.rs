//! OASST1: message trees, their filters and the dialogues chosen from them.

mod tree;

pub use tree::{MessageNode, MessageTree, Speaker};
