"""Makes blocks.json: random blocks of every GGUF tensor type the crate reads, with the
values that the reference reader (the Python package `gguf`) expands them to.

    pip install gguf numpy
    python generate.py

Blocks are random bytes; only the half-precision scales are drawn so that they are
finite. Values are kept as the bits of the f32 results, so the comparison is exact.
"""

import json
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

BLOCKS = {T.F32: 16, T.F16: 16, T.BF16: 16, T.Q8_0: 6, T.Q4_0: 6, T.Q4_1: 6, T.Q4_K: 4, T.Q6_K: 4}
BLOCKS |= {T.Q5_0: 6, T.Q5_1: 6, T.Q2_K: 3, T.Q3_K: 3, T.Q5_K: 3, T.IQ4_NL: 6, T.IQ4_XS: 3, T.MXFP4: 8}
# Byte offsets of the half-precision numbers in a block.
HALVES = {T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q4_K: [0, 2], T.Q6_K: [208]}
HALVES |= {T.Q5_0: [0], T.Q5_1: [0, 2], T.Q2_K: [80, 82], T.Q3_K: [108], T.Q5_K: [0, 2], T.IQ4_NL: [0]}
HALVES |= {T.IQ4_XS: [0], T.MXFP4: []}


def random_blocks(kind, count, rng):
    _, size = GGML_QUANT_SIZES[kind]
    if kind in (T.F32, T.F16, T.BF16):
        values = rng.standard_normal(count).astype(np.float32)
        if kind == T.F32:
            return values.view(np.uint8).reshape(count, size)
        if kind == T.F16:
            return values.astype(np.float16).view(np.uint8).reshape(count, size)
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(count, size)
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES[kind]:
        scales = (rng.standard_normal(count) * 0.05).astype(np.float16)
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(count, 2)
    if kind == T.MXFP4:
        # Exponents from the least to a large one, all of which give finite values.
        blocks[:, 0] = [0, 1, 2, 100, 126, 127, 130, 200][:count]
    return blocks


def main():
    rng = np.random.default_rng(20)
    golden = {}
    for kind, count in BLOCKS.items():
        blocks = random_blocks(kind, count, rng)
        values = dequantize(blocks, kind).astype(np.float32).reshape(-1)
        golden[kind.name] = {
            "blocks": blocks.tobytes().hex(),
            "values": values.view(np.uint32).astype(">u4").tobytes().hex(),
        }
    path = pathlib.Path(__file__).with_name("blocks.json")
    path.write_text(json.dumps(golden, indent=1) + "\n")


main()
