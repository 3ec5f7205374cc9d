#![doc = include_str!("../README.md")]

mod block_stack;
pub mod config;
mod error;
pub mod generate;
pub mod gguf;
mod llama;
pub mod rope;
pub mod tokenizer;
pub mod weights;

pub use camelid_kernels::RowLengths;

pub use block_stack::{BlockStack, supervised_tokens};
pub use config::{LinearShape, LlamaConfig, RopeScaling};
pub use error::ModelError;
pub use generate::{
    GenerateOptions, GeneratedText, LocalGenerator, StopReason, TextGenerator, generate_text,
};
pub use llama::{
    Attention, Block, DenseStorage, KvCache, LayerCache, Llama, LoadOptions, Mlp, RmsNorm, Table,
    WeightStorage,
};
pub use tokenizer::{TokenizerFile, load_tokenizer};
pub use weights::{LoadedTensor, StoredType, WeightSource, open_weights};
