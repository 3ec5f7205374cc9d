//! camelid-chat
