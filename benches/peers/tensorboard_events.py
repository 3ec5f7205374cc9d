"""Reads a run's event file by TensorBoard itself and holds it to metrics.jsonl.

    pip install tensorboard
    python benches/peers/tensorboard_events.py runs/mine

Every step has to be there once, in order, with the figures of metrics.jsonl as 32-bit numbers.
"""

import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CURVES = {
    "train/loss": "loss",
    "train/learning_rate": "lr",
    "train/grad_norm": "grad_norm",
    "train/tokens_per_second": "tokens_per_second",
}


def as_f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def main(run):
    lines = (pathlib.Path(run) / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    # 0 keeps every event; the default is a sample.
    events = EventAccumulator(run, size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    for tag, field in CURVES.items():
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        expected = [(record["step"], as_f32(record[field])) for record in records]
        if found != expected:
            sys.exit(f"{tag}: {found[:3]}… differ from metrics.jsonl: {expected[:3]}…")
    tags = events.Tags()["scalars"]
    evals = events.Scalars("eval/loss") if "eval/loss" in tags else []
    print(f"{run}: {len(records)} steps, {len(evals)} evaluations, all as in metrics.jsonl")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for run in sys.argv[1:]:
        main(run)
