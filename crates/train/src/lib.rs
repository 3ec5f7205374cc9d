//! camelid-train
