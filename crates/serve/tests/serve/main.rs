//! The server over a small model, spoken to as clients speak to it.

mod chat;
mod completions;
mod controller;
mod errors;
mod limits;
mod load;
mod models;
mod official;
mod pages;
mod peers;
mod running;
