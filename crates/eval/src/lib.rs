//! camelid-eval
