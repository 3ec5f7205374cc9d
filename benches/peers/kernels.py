"""Products and 4-bit kernels.

Each row is a function of a setting's words; it returns what to run and how many of the row's
units one run does.
"""

import ctypes
import os

import bitsandbytes.functional as F
import torch
from bitsandbytes.cextension import lib
from bitsandbytes.nn import Linear4bit

TOKENS, WIDTH = 512, 4096
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def linear_f32(setting):
    """`highest` or `medium`: what torch may do inside a f32 product; `reused`: into the same output."""
    precision, *reused = setting.split()
    torch.set_float32_matmul_precision(precision)
    x, weight = torch.randn(TOKENS, WIDTH), torch.randn(WIDTH, WIDTH) * 0.02
    if reused:
        out = torch.empty(TOKENS, WIDTH)
        return lambda: torch.mm(x, weight.t(), out=out), 1

    @torch.no_grad()
    def run():
        torch.nn.functional.linear(x, weight)

    return run, 1


def layer(setting):
    """A packed layer for the words `train` or `eval`, a compute type, and `double` or `plain` scales."""
    mode, dtype, scales = setting.split()
    dtype = DTYPES[dtype]
    made = Linear4bit(
        WIDTH, WIDTH, bias=False, compute_dtype=dtype, compress_statistics=scales == "double", quant_type="nf4"
    )
    made.weight.data.copy_(torch.randn(WIDTH, WIDTH) * 0.02)
    made = made.to("cpu")
    return made.train(mode == "train"), dtype


def linear4bit_forward(setting):
    linear, dtype = layer(setting)
    x = torch.randn(TOKENS, WIDTH, dtype=dtype)

    @torch.no_grad()
    def run():
        linear(x)

    return run, 1


def linear4bit_dx(setting):
    linear, dtype = layer(setting)
    x = torch.randn(TOKENS, WIDTH, dtype=dtype, requires_grad=True)
    dy = torch.randn(TOKENS, WIDTH, dtype=dtype)
    y = linear(x)
    return lambda: torch.autograd.grad(y, x, dy, retain_graph=True), 1


def linear4bit_one_row(setting):
    """As many matrices in turn as the caller says, so that none waits in a cache."""
    count = int(os.environ["CAMELID_MATRICES"])
    first, dtype = layer(setting)
    linears = [first] + [copy_of(first) for _ in range(count - 1)]
    x = torch.randn(1, WIDTH, dtype=dtype)

    @torch.no_grad()
    def run():
        for linear in linears:
            linear(x)

    return run, count


def copy_of(linear):
    """Another layer with the same bytes in other memory: quantising again takes long."""
    made = Linear4bit(
        WIDTH,
        WIDTH,
        bias=False,
        compute_dtype=linear.compute_dtype,
        quant_type="nf4",
        device="meta",
    )
    stored = linear.weight
    made.weight = type(stored)(
        stored.data.clone(),
        requires_grad=False,
        quant_state=stored.quant_state,
        blocksize=stored.blocksize,
        compress_statistics=stored.compress_statistics,
        quant_type=stored.quant_type,
        quant_storage=stored.quant_storage,
        module=made,
        bnb_quantized=True,
    )
    made.quant_state = stored.quant_state
    return made.train(linear.training)


def nf4_quantize(_setting):
    values = torch.randn(WIDTH, WIDTH)
    return lambda: F.quantize_4bit(values, quant_type="nf4", compress_statistics=True), 1


def nf4_dequantize_public(setting):
    """The call that users make; every result is new memory."""
    packed, state = F.quantize_4bit(torch.randn(WIDTH, WIDTH), quant_type="nf4", compress_statistics=setting == "double")
    state.dtype = torch.bfloat16
    return lambda: F.dequantize_4bit(packed, state), 1


def nf4_dequantize_kernel(_setting):
    """The C function below that call, with plain scales, into the same output."""
    packed, state = F.quantize_4bit(torch.randn(WIDTH, WIDTH), quant_type="nf4", compress_statistics=False)
    out = torch.empty(WIDTH, WIDTH, dtype=torch.bfloat16)
    kernel = lib.cdequantize_blockwise_cpu_nf4_bf16
    block, rows, columns = (ctypes.c_longlong(n) for n in (64, WIDTH, WIDTH))

    def run():
        kernel(F.get_ptr(packed), F.get_ptr(state.absmax), F.get_ptr(out), block, rows, columns)

    return run, 1


ROWS = {
    row.__name__: row
    for row in (
        linear_f32,
        linear4bit_forward,
        linear4bit_dx,
        linear4bit_one_row,
        nf4_quantize,
        nf4_dequantize_public,
        nf4_dequantize_kernel,
    )
}
