//! camelid-data
