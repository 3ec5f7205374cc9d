"""Measures PyTorch, bitsandbytes, PEFT and transformers on request.

`cargo xtask bench --peers` starts this script and writes one JSON object per line to it; each is
answered by one line. Between requests nothing runs here, so that the caller can take turns.

    {"do": "prepare", "row": R, "setting": S}      makes the inputs: {"per_run"}
    {"do": "sample", "setting": S, "at_least": T}  runs for about T seconds, the first time once:
                                                   {"seconds", "worked", "others", "peak_mib"}
    {"do": "drop", "setting": S}                   forgets what was prepared under S: {}
A request that fails is answered by {"error": message}. The arguments say which rows are wanted:
`kernels` or `model`.
"""

import json
import math
import os
import sys
import time

# Libraries may print: the pipe to the caller is for answers alone.
ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import logging
import warnings

warnings.filterwarnings("ignore")
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

import bitsandbytes
import torch

import machine

ROWS = {}


def rows(names):
    """The rows of the modules asked for: transformers takes seconds to import."""
    if "kernels" in names:
        import kernels
        import optimizers

        ROWS.update(kernels.ROWS | optimizers.ROWS)
    if "model" in names:
        import generation
        import training

        ROWS.update(generation.ROWS | training.ROWS)


def answer(**fields):
    ANSWERS.write(json.dumps(fields) + "\n")


def timed(run, count=1):
    start = time.perf_counter()
    for _ in range(count):
        run()
    return time.perf_counter() - start


def sample(held, at_least):
    run, per_run, last = held
    count = max(1, round(at_least / max(last, 1e-6)))
    machine.reset_peak()
    watch = machine.Watch()
    seconds = timed(run, count)
    held[2] = seconds / count
    units = count * per_run
    return {
        "seconds": seconds / units,
        "worked": watch.worked() / units,
        "others": watch.others(),
        "peak_mib": machine.peak_mib(),
    }


def main():
    rows(sys.argv[1:])
    versions = {"torch": torch.__version__, "bitsandbytes": bitsandbytes.__version__} | machine.versions()
    versions["torch's vectors"] = torch.backends.cpu.get_cpu_capability()
    answer(imports_mib=machine.peak_mib(), versions=versions)
    held = {}
    for line in sys.stdin:
        try:
            request = json.loads(line)
            setting = request["setting"]
            match request["do"]:
                case "prepare":
                    run, per_run = ROWS[request["row"]](setting)
                    # Nothing is known about its speed: the first sample is of one run.
                    held[setting] = [run, per_run, math.inf]
                    answer(per_run=per_run)
                case "sample":
                    answer(**sample(held[setting], request["at_least"]))
                case "drop":
                    held.pop(setting, None)
                    answer()
        except Exception as error:  # whatever a library raises is the caller's to report
            answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
