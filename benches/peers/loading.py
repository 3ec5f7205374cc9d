"""Loading a model into NF4, and the start of a chat: Camelid beside transformers with bitsandbytes, by turns.

    python benches/peers/loading.py                            # a random model of 1.1 billion parameters
    python benches/peers/loading.py MODEL ... [--rounds 5]
    python benches/peers/loading.py --chat MODEL

MODEL is a Hugging Face folder, or a .gguf file or wheel that Camelid reads (it is then saved as a folder
first); `1.1b` has TinyLlama's shape and is written once, in bfloat16. Both sides read the same safetensors files,
which the system holds in memory unless --cold drops them before each turn, and quantise every linear layer with
double quantisation; the rest is bf16. `to NF4` is the call that loads, `from the start` the whole process, Python's
imports included. Peak memory is that of the process, in brackets what of it was there before the call.

--chat times `camelid chat --prompt` from the start of the process to the first byte of its answer, in NF4 and with
the weights as they are stored. Beside it stands a Python process that loads the model in the same storage and
generates one token from 30 ids: it is spared the tokenizer and the template.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import machine
import turns
from model_folders import folder_of

PROMPT = "Name three colours."
PROMPT_TOKENS = 30
STORAGES = ("nf4", "as stored")


def load(folder, storage):
    """Their model, in this process."""
    # `kernels.py` beside this file is not the package that transformers looks for.
    here = pathlib.Path(__file__).resolve().parent
    sys.path = [path for path in sys.path if pathlib.Path(path).resolve() != here]
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    import torch
    import bitsandbytes
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging as told

    told.set_verbosity_error()
    told.disable_progress_bar()
    packed = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
    )
    options = {"quantization_config": packed, "dtype": torch.bfloat16} if storage == "nf4" else {"dtype": "auto"}
    before_mib, start = machine.peak_mib(), time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(folder, device_map="cpu", **options)
    seconds = time.perf_counter() - start
    versions = {"torch": torch.__version__, "bitsandbytes": bitsandbytes.__version__} | machine.versions()
    return model, {"seconds": seconds, "peak_mib": machine.peak_mib(), "before_mib": before_mib, "versions": versions}


def first_token(folder, storage):
    import torch

    model, found = load(folder, storage)
    ids = torch.arange(100, 100 + PROMPT_TOKENS)[None]
    options = {"max_new_tokens": 1, "do_sample": False, "pad_token_id": 0}
    with torch.no_grad():
        model.eval().generate(ids, attention_mask=torch.ones_like(ids), **options)
    return found


def drop_from_memory(folder):
    for path in pathlib.Path(folder).iterdir():
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def loading(args):
    program = args.program or turns.build("camelid-model", "example", "load_times")
    rows, processor, versions = [], "", {}
    for model in args.models or ["1.1b"]:
        folder, name = folder_of(model)
        sides = {"Camelid": [program, folder], "peers": [sys.executable, __file__, folder, "--load"]}
        found = {side: [] for side in sides}
        for number in range(args.rounds):
            for side, command in sides.items():
                if args.cold:
                    drop_from_memory(folder)
                start = time.perf_counter()
                sample = turns.run(command)
                if "failed" in sample:
                    raise SystemExit(f"{name}, {side}: {sample['failed']}")
                sample["from_start"] = time.perf_counter() - start
                found[side].append(sample)
                shown = f"{sample['seconds']:.2f} s, from the start {sample['from_start']:.2f} s"
                print(f"round {number + 1}: {name}, {side}: {shown}; others {sample['others']:.0%}", flush=True)
        ours, theirs = found["Camelid"], found["peers"]
        processor, versions = ours[0]["processor"], theirs[0]["versions"]
        of = lambda samples, what: [sample[what] for sample in samples]
        ratio = lambda what: f"{statistics.median(of(theirs, what)) / statistics.median(of(ours, what)):.1f}"
        memory = lambda samples: f"{max(of(samples, 'peak_mib')):,.0f} ({samples[0]['before_mib']:,.0f})"
        cells = [f"{name}, {ours[0]['parameters'] / 1e6:,.0f} M, {size(folder)}"]
        for what in ("seconds", "from_start"):
            cells += [turns.spread(of(ours, what), 2), turns.spread(of(theirs, what), 2), ratio(what)]
        rows.append([*cells, memory(ours), memory(theirs)])
    where = "read from the disk" if args.cold else "held in memory by the system"
    print(f"\nOn {processor}; {named(versions)}. Files {where}.\n")
    head = ["model", "Camelid to NF4, s", "peers, s", "ratio", "Camelid from the start, s", "peers, s", "ratio"]
    turns.table([*head, "Camelid, peak MiB", "peers, peak MiB"], rows)


def chat(args):
    program = args.program or turns.build("camelid", "bin", "camelid")
    folder, name = folder_of(args.chat)
    rows = []
    for storage in STORAGES:
        held = ["--load", "nf4"] if storage == "nf4" else []
        ours = [program, "chat", "--model", args.chat, "--prompt", PROMPT, "--temperature", "0", *held]
        theirs = [sys.executable, __file__, folder, "--first-token", storage]
        times = {"Camelid": [], "peers": []}
        for number in range(args.rounds):
            times["Camelid"].append(until_first_byte(ours))
            start = time.perf_counter()
            found = turns.run(theirs)
            if "failed" in found:
                raise SystemExit(f"{name}, {storage}: {found['failed']}")
            times["peers"].append(time.perf_counter() - start)
            shown = ", ".join(f"{side} {seconds[-1]:.2f} s" for side, seconds in times.items())
            print(f"round {number + 1}: {name}, {storage}: {shown}", flush=True)
        ratio = statistics.median(times["peers"]) / statistics.median(times["Camelid"])
        both = [turns.spread(times[side], 2) for side in ("Camelid", "peers")]
        rows.append([name, storage, *both, f"{ratio:.1f}"])
    print(f"\nTo the first token from the start of the process; {named(found['versions'])}.\n")
    turns.table(["model", "weights", "`camelid chat`, s", "peers, s", "ratio"], rows)


def until_first_byte(command):
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    byte = process.stdout.read(1)
    seconds = time.perf_counter() - start
    process.kill()
    told = process.communicate()[1].decode()
    if not byte:
        raise SystemExit(f"`{' '.join(map(str, command))}` wrote no answer: {told.strip()}")
    return seconds


def named(versions):
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def size(folder):
    files = pathlib.Path(folder).glob("*.safetensors")
    return f"{sum(file.stat().st_size for file in files) / 1e9:.2f} GB"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="models to load [default: 1.1b]")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", action="store_true", help="drop the files from memory before each turn")
    parser.add_argument("--chat", metavar="MODEL", help="time the start of a chat with this model instead")
    parser.add_argument("--program", type=pathlib.Path, help="`load_times` or `camelid` as built before")
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first-token", choices=STORAGES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.load:
        print(json.dumps(load(args.models[0], "nf4")[1]))
    elif args.first_token:
        print(json.dumps(first_token(args.models[0], args.first_token)))
    elif args.chat:
        chat(args)
    else:
        loading(args)


if __name__ == "__main__":
    main()
