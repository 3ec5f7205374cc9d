"""Ours and theirs by turns, every run in a process of its own, and what was measured kept between calls."""

import json
import os
import pathlib
import resource
import signal
import statistics
import subprocess

import machine

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = pathlib.Path(os.environ.setdefault("CAMELID_PEERS_DIR", str(ROOT / "runs/peers")))
# Most of what is free: a side that needs more fails by itself, before the system stops other work.
SHARE_OF_MEMORY = 0.9


def build(package, kind, name):
    """Builds an example or a program and returns its path: `build("camelid-model", "example", "logits")`."""
    subprocess.run(["cargo", "build", "-q", "-p", package, f"--{kind}", name], cwd=ROOT, check=True)
    folder = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    return folder / "examples" / name if kind == "example" else folder / name


def run(command):
    """The last line that a process prints, which is JSON, and the share of the cores that others took meanwhile.

    A process that fails gives {"failed": why}.
    """
    limit = int(SHARE_OF_MEMORY * available_memory())
    watch = machine.Watch()
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    others = watch.others()
    if done.returncode != 0:
        return {"failed": reason(done), "others": others}
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"others": others}


def reason(done):
    if done.returncode < 0:
        return signal.Signals(-done.returncode).name
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"


def available_memory():
    with open("/proc/meminfo") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))


class Samples:
    """A JSON file of what was measured, so that a long table can be made in several calls."""

    def __init__(self, path, fresh):
        self.path = path
        self.rows = json.loads(path.read_text()) if path.exists() and not fresh else []

    def put(self, key, found):
        self.rows.append({"key": key} | found)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.rows, indent=1) + "\n")

    def of(self, **key):
        """Those whose key says all of this."""
        return [row for row in self.rows if key.items() <= row["key"].items()]


def spread(values, digits=1):
    """The median, with the smallest and the largest where there are several."""
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def table(head, rows):
    for row in [head, ["---"] * len(head), *rows]:
        print("| " + " | ".join(map(str, row)) + " |")
