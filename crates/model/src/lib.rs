#![doc = include_str!("../README.md")]

mod block_stack;
pub mod config;
pub mod engine;
mod error;
mod expected;
pub mod generate;
pub mod gguf;
mod gguf_export;
mod json_file;
mod llama;
mod notes;
pub mod rope;
mod stream;
pub mod tokenizer;
pub mod weights;

pub use camelid_kernels::CuSeqlens;
pub use camelid_lora::{Embedding, ForwardContext};

pub use block_stack::{BlockStack, supervised_tokens};
pub use config::{LinearShape, LlamaConfig, RopeScaling};
pub use engine::{
    Constraint, Engine, EngineEvent, EngineLoad, EngineOptions, EngineRequest, EngineThread, Finished,
    SequenceId, TokenLogprobs,
};
pub use error::ModelError;
pub use expected::expected_tensors;
pub use generate::{
    GenerateOptions, GeneratedText, LocalGenerator, PromptCache, StopReason, TextGenerator, generate_text,
    generate_text_cached, generate_texts,
};
pub use gguf_export::{ExportType, Exported, export_gguf};
pub use llama::{
    Attention, Block, DenseStorage, FoldedWeights, KvCache, LayerCache, Llama, LoadOptions, Mlp, RmsNorm,
    StreamOptions, TableStorage, WeightStorage,
};
pub use notes::LoadNote;
pub use stream::{BlockStream, StreamTraffic};
pub use tokenizer::{TokenizerFile, load_tokenizer, token_bytes};
pub use weights::{
    FilePart, GeneratedWeights, LoadedTensor, PackedPlace, StoredType, WeightSource, Written, load_notes,
    model_place, open_weights, packed_file_bytes, write_packed,
};
