//! From raw ShareGPT pages to conversations that a model can be tuned on.

pub mod exact;
