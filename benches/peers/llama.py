"""The 110-million-parameter LLaMA of the rows about whole models."""

import os
import pathlib

import torch
import transformers
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

VOCABULARY = 32_000
CONFIG = LlamaConfig(
    vocab_size=VOCABULARY,
    hidden_size=768,
    intermediate_size=2048,
    num_hidden_layers=12,
    num_attention_heads=12,
    num_key_value_heads=12,
    max_position_embeddings=2048,
    tie_word_embeddings=True,
)


def files():
    """A folder with the model's random weights, made once."""
    folder = pathlib.Path(os.environ["CAMELID_PEERS_DIR"]) / "llama-110m"
    if not (folder / "config.json").exists():
        making = folder.with_suffix(f".{os.getpid()}")
        torch.manual_seed(0)
        LlamaForCausalLM(CONFIG).save_pretrained(making)
        making.rename(folder)
    return folder


def dense(dtype):
    return AutoModelForCausalLM.from_pretrained(files(), dtype=dtype, attn_implementation="sdpa")


def packed(dtype):
    """Linear layers in NF4 with double quantisation, the rest and all products in `dtype`."""
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
    )
    return AutoModelForCausalLM.from_pretrained(
        files(), quantization_config=config, dtype=dtype, device_map="cpu", attn_implementation="sdpa"
    )
