"""Camelid's ratings beside FastChat's elo_analysis and arena-rank, in one run.

    pip install fschat==0.2.36 arena-rank==0.1.1 scikit-learn pandas plotly tqdm pytz
    python benches/peers/ratings.py [--rounds 3] [--judgments DIR]

Two pieces of work, each by all sides in turn, round after round, on the same cores:

* 100 Bradley-Terry bootstraps over 100,000 battles among 50 models, made from a seed;
* 10,000 Elo orderings of QLoRA's published judgments of the Vicuna questions (DIR holds the 56
  review files; without it, as many made-up battles). FastChat plays 20 of them, scaled by 500.

Ours is the example `rating_times`, built before the clock runs; what counts of a round is the median
of its seven repetitions. Prints, round by round and as medians, the time that passed and the time that
all cores together worked: the latter hardly depends on what else the machine does. A peer that is not
installed is left out and said to be.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import types
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads=2")
warnings.filterwarnings("ignore")

import numpy as np

from machine import Watch

ROOT = pathlib.Path(__file__).parents[2]
MODELS, BATTLES, BOOTSTRAPS = 50, 100_000, 100
JUDGED = 4_480
ORDERINGS, PLAYED = 10_000, 20
FITS = f"{BOOTSTRAPS} Bradley-Terry bootstraps, from battles"
ELO = f"{ORDERINGS:,} Elo orderings"


def battles():
    import pandas as pd

    rng = np.random.default_rng(0)
    skill = rng.normal(0, 0.7, MODELS)
    a = rng.integers(0, MODELS, BATTLES)
    b = (a + rng.integers(1, MODELS, BATTLES)) % MODELS
    wins = rng.random(BATTLES) < 1 / (1 + np.exp(skill[b] - skill[a]))
    tie = rng.random(BATTLES) < 0.2
    winner = np.where(tie, "tie", np.where(wins, "model_a", "model_b"))
    names = np.array([f"model-{i:02d}" for i in range(MODELS)])
    return pd.DataFrame({"model_a": names[a], "model_b": names[b], "winner": winner})


def ours(path, judgments):
    example = ["-q", "-p", "camelid-ratings", "--example", "rating_times"]
    subprocess.run(["cargo", "build", *example], cwd=ROOT, check=True)
    command = ["cargo", "run", *example, "--", str(path), *judgments]

    def run():
        lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
        rows = [json.loads(line) for line in lines if line.startswith("{")]
        found = {what: next(row for row in rows if row["what"].startswith(what)) for what in (FITS, ELO)}
        return {what: (row["median"], row["worked"]) for what, row in found.items()}

    return run


def fastchat(frame):
    # elo_analysis needs a list of names out of fastchat.model, whose __init__ would load PyTorch.
    package = types.ModuleType("fastchat.model")
    found = importlib.util.find_spec("fastchat")
    if found is None:
        raise ImportError("No module named 'fastchat'")
    package.__path__ = [str(pathlib.Path(found.origin).parent / "model")]
    sys.modules["fastchat.model"] = package
    from fastchat.serve.monitor import elo_analysis

    judged = frame.iloc[:JUDGED]

    def bootstrap(frame, rate, rounds):
        np.random.seed(0)
        with contextlib.redirect_stderr(io.StringIO()):
            return timed(lambda: elo_analysis.get_bootstrap_result(frame, rate, rounds))

    def run():
        played = bootstrap(judged, elo_analysis.compute_elo, PLAYED)
        return {
            FITS: bootstrap(frame, elo_analysis.compute_elo_mle_with_tie, BOOTSTRAPS),
            ELO: tuple(seconds * ORDERINGS / PLAYED for seconds in played),
        }

    return run


def arena_rank(frame):
    import jax
    import jax.numpy as jnp
    from arena_rank.models.bradley_terry import BradleyTerry, fit_single_bootstrap_sample
    from arena_rank.utils.data_utils import PairDataset

    def fits():
        # The same 100 fits as the package's own pool of processes, which hangs beside JAX's threads.
        pairs = PairDataset.from_pandas(frame)
        model = BradleyTerry(n_competitors=len(pairs.competitors))
        model.fit(pairs)
        total = jnp.sum(pairs.counts)
        draws = jax.random.multinomial(
            key=jax.random.PRNGKey(42), n=int(total), p=pairs.counts / total,
            shape=(BOOTSTRAPS, pairs.counts.shape[0]), dtype=model.dtype,
        )
        np.array([fit_single_bootstrap_sample(draws[i], model, pairs)["ratings"] for i in range(BOOTSTRAPS)])

    return lambda: {FITS: timed(fits)}


def timed(work):
    """Seconds that passed, and seconds that all cores worked for this process."""
    start, worked = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - worked


def main():
    parser = argparse.ArgumentParser(description="Camelid's ratings beside FastChat and arena-rank")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--judgments", type=pathlib.Path, help="folder of QLoRA's 56 review files")
    arguments = parser.parse_args()
    judgments = sorted(map(str, arguments.judgments.glob("*.jsonl"))) if arguments.judgments else []
    frame = battles()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "battles.csv"
        frame.to_csv(path, index=False)
        runs, times = {"Camelid": ours(path, judgments)}, {}
        for name, peer in (("FastChat elo_analysis", fastchat), ("arena-rank", arena_rank)):
            try:
                runs[name] = peer(frame)
            except ImportError as error:
                print(f"{name} is left out: {error}")
        watch = Watch()
        for number in range(arguments.rounds):
            for name, run in runs.items():
                for what, seconds in run().items():
                    times.setdefault(what, {}).setdefault(name, []).append(seconds)
                    print(f"round {number + 1}: {what}, {name}: {seconds[0]:.3f} s, {seconds[1]:.3f} s of all cores", flush=True)
        others = watch.others()
    print(f"\n{arguments.rounds} rounds; other processes took {others:.0%} of {os.cpu_count()} cores\n")
    print("| work | by | seconds (range) | ratio | seconds of all cores | ratio |\n|---|---|---|---|---|---|")
    for what, sides in times.items():
        ours_passed, ours_worked = medians(sides["Camelid"])
        for name, seconds in sides.items():
            passed, worked = medians(seconds)
            low, high = min(s[0] for s in seconds), max(s[0] for s in seconds)
            ratios = f"{passed:.3f} ({low:.3f}–{high:.3f}) | {passed / ours_passed:.0f} | {worked:.3f} | {worked / ours_worked:.0f}"
            print(f"| {what} | {name} | {ratios} |")


def medians(seconds):
    return tuple(statistics.median(column) for column in zip(*seconds))


if __name__ == "__main__":
    main()
