//! Models behind HTTP: the API that every client speaks, and the arena in which people choose the
//! better of two answers.
//!
//! What a model writes is untrusted wherever it is shown: [`markdown`] is the one way from an answer
//! to a page, and [`page`] forbids every script that is not the page's own.

pub mod arena;
pub mod markdown;
pub mod page;
