//! Arenas whose truth is known: how often intervals hold it, how many votes it takes, and which voters
//! are found out.

mod coverage;
mod detection;
mod votes_needed;
mod world;

pub use coverage::{Coverage, coverage};
pub use detection::{Crowd, Detection, detection};
pub use votes_needed::{Draw, Needed, Target, votes_needed};
pub use world::{Voter, World};
