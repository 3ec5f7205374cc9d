//! Models behind HTTP: the API that every client speaks, and the arena in which people choose the
//! better of two answers.
//!
//! What a model writes is untrusted wherever it is shown: [`markdown`] is the one way from an answer
//! to a page.

pub mod markdown;
