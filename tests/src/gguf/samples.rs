//! Complete small models.

use super::{GgufWriter, Meta, Stored};

/// Reproducible values between −1 and 1.
pub fn values(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
        })
        .collect()
}

/// A one-layer `llama` of hidden size 256 (so that K types fit its rows) with two
/// heads, one key head, and one tensor type for every kind of weight.
pub fn llama() -> GgufWriter {
    let mut w = GgufWriter::default();
    w.set("general.architecture", Meta::str("llama"))
        .set("llama.block_count", Meta::U32(1))
        .set("llama.context_length", Meta::U32(128))
        .set("llama.embedding_length", Meta::U32(256))
        .set("llama.feed_forward_length", Meta::U64(256))
        .set("llama.attention.head_count", Meta::U16(2))
        .set("llama.attention.head_count_kv", Meta::I32(1))
        .set("llama.attention.layer_norm_rms_epsilon", Meta::F32(1e-5))
        .set("llama.rope.freq_base", Meta::F32(100_000.0));
    let kinds = [
        ("token_embd", 8, Stored::Q8_0),
        ("blk.0.attn_q", 256, Stored::Q4_0),
        ("blk.0.attn_k", 128, Stored::Q4_1),
        ("blk.0.attn_v", 128, Stored::Q4_K),
        ("blk.0.attn_output", 256, Stored::Q6_K),
        ("blk.0.ffn_gate", 256, Stored::F16),
        ("blk.0.ffn_up", 256, Stored::BF16),
        ("blk.0.ffn_down", 256, Stored::F32),
    ];
    for (seed, (name, rows, kind)) in kinds.into_iter().enumerate() {
        let values = values(seed as u64 + 1, rows * 256);
        w.tensor(&format!("{name}.weight"), &[rows, 256], kind, &values);
    }
    for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
        w.tensor(&format!("{name}.weight"), &[256], Stored::F32, &[1.0; 256]);
    }
    w
}

/// Byte-level BPE over letters, digits and a few merges, with two control tokens.
pub fn add_bpe_vocabulary(w: &mut GgufWriter) {
    let mut tokens: Vec<String> = ["<|end|>", "<|turn|>"].map(String::from).to_vec();
    tokens.extend(('!'..='~').map(String::from));
    tokens.extend(
        ["Ġ", "Ċ", "he", "ll", "hell", "hello", "Ġw", "or", "ld", "Ġwor", "Ġworld", "12"].map(String::from),
    );
    let mut types = vec![3, 3];
    types.resize(tokens.len(), 1);
    let merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "l d", "Ġw or", "Ġwor ld", "1 2"];
    w.set("tokenizer.ggml.model", Meta::str("gpt2"))
        .set("tokenizer.ggml.pre", Meta::str("smollm"))
        .set("tokenizer.ggml.tokens", Meta::StrArray(tokens))
        .set("tokenizer.ggml.token_type", Meta::I32Array(types))
        .set("tokenizer.ggml.merges", Meta::StrArray(merges.map(String::from).to_vec()))
        .set("tokenizer.ggml.bos_token_id", Meta::U32(1))
        .set("tokenizer.ggml.eos_token_id", Meta::U32(0))
        .set("tokenizer.ggml.add_bos_token", Meta::Bool(false))
        .set("tokenizer.chat_template", Meta::str("{{ messages }}"));
}

/// SentencePiece with all 256 bytes, a few letters and pieces.
pub fn add_spm_vocabulary(w: &mut GgufWriter) {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    let mut types = vec![2, 3, 3];
    let mut scores = vec![0.0; 3];
    for byte in 0..=255u8 {
        tokens.push(format!("<0x{byte:02X}>"));
        types.push(6);
        scores.push(0.0);
    }
    for (rank, piece) in
        ["▁h", "el", "lo", "▁hel", "▁hello", "▁", "h", "e", "l", "o", "a"].into_iter().enumerate()
    {
        tokens.push(piece.into());
        types.push(1);
        scores.push(-(rank as f32));
    }
    w.set("tokenizer.ggml.model", Meta::str("llama"))
        .set("tokenizer.ggml.tokens", Meta::StrArray(tokens))
        .set("tokenizer.ggml.token_type", Meta::I32Array(types))
        .set("tokenizer.ggml.scores", Meta::F32Array(scores))
        .set("tokenizer.ggml.bos_token_id", Meta::U32(1))
        .set("tokenizer.ggml.eos_token_id", Meta::U32(2))
        .set("tokenizer.ggml.unknown_token_id", Meta::U32(0));
}
