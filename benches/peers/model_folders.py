"""Hugging Face folders of the models that scripts are asked for, made where they are not there yet."""

import json
import pathlib
import subprocess
import sys

import turns

SHAPES = {
    "1.1b": {
        "vocab_size": 32_000,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
    },
}


def folder_of(model):
    """The folder, and the model's name in a table. `110m` and `1.1b` are random LLaMAs of that size."""
    if model == "110m":
        return llama_110m(), "110 M-parameter LLaMA"
    if model in SHAPES:
        return random_folder(model), f"random LLaMA of {model.upper()}"
    path = pathlib.Path(model)
    if path.is_dir():
        return path, path.resolve().name
    if not path.exists():
        known = ", ".join(["110m", *SHAPES])
        raise SystemExit(f"{model}: no such file; expected {known}, a Hugging Face folder, a .gguf file or a wheel")
    return saved_as_folder(path), path.stem


def llama_110m():
    """That of `llama.py`. It is made in a process of its own: this one stays without torch."""
    folder = turns.PEERS / "llama-110m"
    if not (folder / "config.json").exists():
        here = pathlib.Path(__file__).resolve().parent
        subprocess.run([sys.executable, "-c", "import llama; llama.files()"], cwd=here, check=True)
    return folder


def random_folder(name):
    folder = turns.PEERS / f"llama-{name}"
    if not (folder / "config.json").exists():
        making = (
            "import sys, json, torch; from transformers import LlamaConfig, LlamaForCausalLM; "
            "torch.manual_seed(0); torch.set_default_dtype(torch.bfloat16); "
            "LlamaForCausalLM(LlamaConfig(**json.loads(sys.argv[1]))).save_pretrained(sys.argv[2])"
        )
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        command = [sys.executable, "-c", making, json.dumps(SHAPES[name]), unfinished]
        subprocess.run(command, cwd=turns.PEERS, check=True)
        unfinished.rename(folder)
    return folder


def saved_as_folder(path):
    folder = turns.PEERS / f"{path.stem}-folder"
    if not (folder / "config.json").exists():
        logits, answer = turns.build("camelid-model", "example", "logits"), turns.PEERS / "logits.safetensors"
        subprocess.run([logits, path, answer, "1", "--base", folder], check=True)
        answer.unlink()
    return folder
