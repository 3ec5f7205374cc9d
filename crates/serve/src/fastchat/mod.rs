//! FastChat's protocol: this server as one of its workers.
//!
//! FastChat (lm-sys, version 0.2.36) runs models in workers that register with a controller and send it
//! a heart beat; its API server asks the controller for a worker, asks that for a conversation template,
//! writes the prompt itself, and reads JSON objects of cumulative text, each ended by a zero byte.

mod register;
mod worker;

pub(crate) use register::keep_registered;
pub(crate) use worker::{failure_frame, routes};
