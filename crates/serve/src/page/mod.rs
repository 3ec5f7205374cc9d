//! What the chat page and the arena share: the frame of a page, its look, and the little script that
//! reads streams and asks for answers as HTML.
//!
//! Pages are rendered here and need no build step. Nothing of them is inline: scripts and styles are
//! [`Asset`]s, so that [`CONTENT_SECURITY_POLICY`] can forbid every other one, and a script that slipped
//! into an answer would still not run.

mod assets;
mod pages;
mod shell;

pub use assets::{Asset, router};
pub(crate) use pages::pages;
pub use shell::{CONTENT_SECURITY_POLICY, Link, Page};
