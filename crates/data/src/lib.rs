//! camelid-data: from files to batches.

pub mod oasst;
