"""Greedy decoding and prefill of the NF4 model, one sequence.

Settings are words: `eval` or `train` (bitsandbytes has a kernel of its own for the first where the
processor has AVX-512 BF16), the compute type, and for decoding `generate` or `loop` (the bare
model in a loop, without transformers' generation).
"""

import functools

import torch
from transformers import DynamicCache

import llama

PROMPT, NEW_TOKENS, PREFILL = 16, 128, 512
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


@functools.lru_cache(maxsize=1)
def model(mode, dtype):
    torch.set_float32_matmul_precision("medium")
    return llama.packed(DTYPES[dtype]).train(mode == "train")


def decode(setting):
    mode, dtype, how = setting.split()
    network = model(mode, dtype)
    prompt = torch.randint(0, llama.VOCABULARY, (1, PROMPT))

    @torch.no_grad()
    def generate():
        network.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=None,
        )

    @torch.no_grad()
    def loop():
        cache, ids = DynamicCache(config=network.config), prompt
        for _ in range(NEW_TOKENS):
            logits = network(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            ids = logits[:, -1:].argmax(-1)

    return (generate if how == "generate" else loop), 1


def prefill(setting):
    mode, dtype = setting.split()
    network = model(mode, dtype)
    ids = torch.randint(0, llama.VOCABULARY, (1, PREFILL))

    @torch.no_grad()
    def run():
        network(input_ids=ids, use_cache=True, logits_to_keep=1)

    return run, 1


ROWS = {"decode": decode, "prefill": prefill}
