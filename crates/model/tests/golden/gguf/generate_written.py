"""Values and the blocks that the Python package `gguf` (0.19.0, llama.cpp's own) makes of them.

    pip install gguf numpy && python generate_written.py > written.json

Values in hexadecimal, big-endian f32; blocks as they lie in a file.
"""

import json

import numpy as np
from gguf import GGMLQuantizationType, quants

rng = np.random.default_rng(11)
blocks = [
    rng.standard_normal(32),
    0.02 * rng.standard_normal(32),
    np.zeros(32),
    np.linspace(-1, 1, 32),
    # Ties: halves of steps in both formats, and the largest value twice with both signs.
    np.tile([127.0, -127.0, 0.5, -0.5, 1.5, -1.5, 63.5, 2.5], 4),
    np.tile([8.0, -8.0, 0.5, -0.5, 1.5, -1.5, 3.5, -7.5], 4),
    np.full(32, -3.25),
    np.concatenate([np.full(31, 1e-7), [5.0]]),
    # Scales below the smallest normal half.
    1e-6 * rng.standard_normal(32),
    1000.0 * rng.standard_normal(32),
]
blocks += [rng.standard_normal(32) * 10.0 ** rng.uniform(-3, 2) for _ in range(54)]
values = np.concatenate(blocks).astype(np.float32)

golden = {"values": values.astype(">f4").tobytes().hex()}
for name in ["F16", "BF16", "Q8_0", "Q4_0"]:
    kind = GGMLQuantizationType[name]
    golden[name] = quants.quantize(values, kind).tobytes().hex()
print(json.dumps(golden, indent=1))
