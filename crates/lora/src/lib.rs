//! camelid-lora
