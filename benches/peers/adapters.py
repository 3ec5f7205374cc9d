"""Adapters made by Camelid, loaded by PEFT: the logits must be the same.

    python benches/peers/adapters.py MODEL [--adapter DIR ... [--merged DIR ...]] [--program PATH]

MODEL is a Hugging Face folder, or a .gguf file or wheel that Camelid reads (it is then saved as a
folder first). Without --adapter one adapter of every kind is made on it; with it, the adapters in
these folders, by whoever they were written, are compared; --merged names, in the same order, what
`camelid merge` made of them, whose logits in transformers must be the same too. --program is the built example `logits`
of camelid-model (`cargo build -p camelid-model --example logits`). Needs requirements.txt.
Ends with 1 when a pair of logits differs by more than 2e-4 of the largest.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

# `kernels.py` beside this file is not the package that transformers looks for.
sys.path = [path for path in sys.path if pathlib.Path(path).resolve() != pathlib.Path(__file__).resolve().parent]

import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModelForCausalLM
from transformers.utils import logging

KINDS = {
    "plain": {},
    "rsLoRA": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "ranks and alphas by pattern": {
        "rank_pattern": {"q_proj": 2, r"layers\.0\..*": 8},
        "alpha_pattern": {".*down_proj": 3, "v_proj": 32},
    },
    "excluded": {"exclude_modules": ["o_proj", "model.layers.0.mlp.up_proj"]},
    "excluded by pattern": {"exclude_modules": r".*layers\.1\..*(?<!gate)_proj"},
    "blocks by number": {"layers_to_transform": [1], "layers_pattern": "layers"},
    "pattern with look-ahead": {"target_modules": r"^(?!.*mlp).*\.(q|v)_proj"},
    "bias of B": {"lora_bias": True},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "DoRA on the head": {"target_modules": ["q_proj", "lm_head"], "use_dora": True},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "head whole": {"modules_to_save": ["lm_head"]},
    "embedding, norms and head whole": {"modules_to_save": ["embed_tokens", "lm_head", "norm"]},
    "a block's feed-forward part whole": {"modules_to_save": ["layers.0.mlp"]},
}
TOLERANCE = 2e-4


def camelid(program, model, out, ids, *options):
    subprocess.run([program, model, out, ",".join(map(str, ids)), *options], check=True)
    with safe_open(out, "pt") as file:
        # A copy: the tensor is the file, which the next run replaces.
        return file.get_tensor("logits").clone()


def peft(model, adapter, ids):
    # A copy each time: modules that are saved whole replace those of the base.
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, adapter).eval()
    with torch.no_grad():
        return tuned(input_ids=torch.tensor([ids])).logits


def transformers(model, ids):
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)(input_ids=torch.tensor([ids])).logits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--adapter", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--merged", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--program", default="target/debug/examples/logits")
    args = parser.parse_args()
    logging.disable_progress_bar()

    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model, out = args.model, folder / "logits.safetensors"
        if not model.is_dir():
            camelid(args.program, model, out, [1], "--base", folder / "base")
            model = folder / "base"
        vocabulary = json.loads((model / "config.json").read_text())["vocab_size"]
        ids = [(7919 * i + 1) % vocabulary for i in range(24)]

        cases = [(str(a), a, ("--adapter", a)) for a in args.adapter]
        if not cases:
            for number, (name, settings) in enumerate(KINDS.items()):
                adapter = folder / f"adapter{number}"
                settings = {"r": 4, "lora_alpha": 8.0, **settings}
                cases.append((name, adapter, ("--fresh", json.dumps(settings), "--save", adapter)))
        plain = camelid(args.program, model, out, ids)
        for name, adapter, options in cases:
            ours = camelid(args.program, model, out, ids, *options)
            theirs = peft(model, adapter, ids)
            difference = (ours - theirs).abs().max().item()
            effect = (ours - plain).abs().max().item()
            largest = theirs.abs().max().item()
            same = difference <= TOLERANCE * largest and effect > 100 * difference
            failed += not same
            print(f"{'same' if same else 'DIFFERS':8} {name}: {difference:.1e} apart, largest logit {largest:.1f}, "
                  f"the adapter moves them by {effect:.1e}")
        for adapter, merged in zip(args.adapter, args.merged, strict=True) if args.merged else []:
            theirs = peft(model, adapter, ids)
            difference = (transformers(merged, ids) - theirs).abs().max().item()
            same = difference <= TOLERANCE * theirs.abs().max().item()
            failed += not same
            print(f"{'same' if same else 'DIFFERS':8} {merged} (merged, in transformers): {difference:.1e} apart")
    compared = len(cases) + len(args.merged)
    print(f"{compared - failed} of {compared} give PEFT's logits")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
