"""Steps of training on 4 sequences of 256 tokens.

Settings are words: `f32 highest` and `f32 medium` (what torch may do inside a f32 product),
`bf16` (f32 norms and adapters under autocast) and `all-bf16` (everything, adapters too).
"""

import contextlib

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

import llama

CHECKPOINTING = {"use_reentrant": False}


def qlora(setting, checkpointing):
    kind, *precision = setting.split()
    torch.set_float32_matmul_precision(*precision or ["highest"])
    model = llama.packed(torch.float32 if kind == "f32" else torch.bfloat16)
    if kind != "all-bf16":
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=checkpointing, gradient_checkpointing_kwargs=CHECKPOINTING
        )
    elif checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=CHECKPOINTING)
        model.enable_input_require_grads()
    adapter = LoraConfig(
        r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return get_peft_model(model, adapter, autocast_adapter_dtype=kind != "all-bf16")


def step(model, autocast=False):
    model.train()
    model.config.use_cache = False
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    ids = torch.randint(0, llama.VOCABULARY, (4, 256))

    def run():
        context = torch.autocast("cpu", dtype=torch.bfloat16) if autocast else contextlib.nullcontext()
        with context:
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return run, 1


def qlora_step(setting):
    return step(qlora(setting, checkpointing=False), autocast=setting == "bf16")


def qlora_step_checkpointed(setting):
    return step(qlora(setting, checkpointing=True), autocast=setting == "bf16")


def full_step(setting):
    torch.set_float32_matmul_precision(setting.split()[1])
    return step(llama.dense(torch.float32))


ROWS = {row.__name__: row for row in (qlora_step, qlora_step_checkpointed, full_step)}
