//! FastChat's logs and tables of battles, in and out.

mod fastchat;
mod tables;

pub use fastchat::{Imported, export_fastchat, import_fastchat};
pub use tables::{export_battles, import_battles};
