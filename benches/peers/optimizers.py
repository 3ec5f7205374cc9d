"""AdamW over 100 million parameters: 100 tensors of a million."""

import bitsandbytes as bnb
import torch

OPTIMIZERS = {
    "torch fused": lambda ps: torch.optim.AdamW(ps, lr=1e-4, fused=True),
    "torch foreach": lambda ps: torch.optim.AdamW(ps, lr=1e-4, foreach=True),
    "bitsandbytes 32-bit": lambda ps: bnb.optim.AdamW(ps, lr=1e-4, optim_bits=32),
    "bitsandbytes 8-bit": lambda ps: bnb.optim.AdamW8bit(ps, lr=1e-4),
    "bitsandbytes paged 8-bit": lambda ps: bnb.optim.PagedAdamW8bit(ps, lr=1e-4),
}


def adamw(setting):
    parameters = [torch.nn.Parameter(torch.randn(1000, 1000)) for _ in range(100)]
    for parameter in parameters:
        parameter.grad = torch.randn(1000, 1000) * 0.01
    optimizer = OPTIMIZERS[setting](parameters)
    optimizer.step()  # makes the state
    return optimizer.step, 1


ROWS = {"adamw_32bit": adamw, "adamw_8bit": adamw}
