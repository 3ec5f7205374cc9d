"""Camelid's ratings beside FastChat's elo_analysis and arena-rank, in one run.

    pip install fschat==0.2.36 arena-rank==0.1.1 scikit-learn pandas plotly tqdm
    python benches/peers/ratings.py

Makes 100,000 battles among 50 models from a seed and times, one after the other and then once
more in the other order, 100 Bradley-Terry bootstraps of each. Ours is the example `rating_times`,
built before the clock runs. Prints a table with the ratios and the share of the cores that other
processes took meanwhile. A peer that is not installed is left out and said to be.
"""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import tempfile
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=true intra_op_parallelism_threads=2")
warnings.filterwarnings("ignore")

import numpy as np

from machine import Watch

ROOT = pathlib.Path(__file__).parents[2]
MODELS, BATTLES, BOOTSTRAPS = 50, 100_000, 100
OURS = "100 Bradley-Terry bootstraps, from battles"


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


def ours(path):
    example = ["-q", "-p", "camelid-eval", "--example", "rating_times"]
    subprocess.run(["cargo", "build", *example], cwd=ROOT, check=True)
    command = ["cargo", "run", *example, "--", str(path)]

    def run():
        lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
        rows = [json.loads(line) for line in lines if line.startswith("{")]
        return next(row["median"] for row in rows if row["what"] == OURS)

    return run


def fastchat(frame):
    from fastchat.serve.monitor import elo_analysis

    frame = frame.assign(tstamp=np.arange(BATTLES) + 1.7e9, anony=True)

    def run():
        np.random.seed(0)
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            elo_analysis.get_bootstrap_result(frame, elo_analysis.compute_elo_mle_with_tie, BOOTSTRAPS)
        return time.perf_counter() - start

    return run


def arena_rank(frame):
    import jax
    import jax.numpy as jnp
    from arena_rank.models.bradley_terry import BradleyTerry, fit_single_bootstrap_sample
    from arena_rank.utils.data_utils import PairDataset

    def run():
        # The same 100 fits as the package's own pool of processes, which hangs beside JAX's threads.
        start = time.perf_counter()
        pairs = PairDataset.from_pandas(frame)
        model = BradleyTerry(n_competitors=len(pairs.competitors))
        model.fit(pairs)
        total = jnp.sum(pairs.counts)
        draws = jax.random.multinomial(
            key=jax.random.PRNGKey(42), n=int(total), p=pairs.counts / total,
            shape=(BOOTSTRAPS, pairs.counts.shape[0]), dtype=model.dtype,
        )
        np.array([fit_single_bootstrap_sample(draws[i], model, pairs)["ratings"] for i in range(BOOTSTRAPS)])
        return time.perf_counter() - start

    return run


def main():
    frame = battles()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "battles.csv"
        frame.to_csv(path, index=False)
        runs, times = {"camelid": ours(path)}, {}
        for name, peer in (("FastChat elo_analysis", fastchat), ("arena-rank", arena_rank)):
            try:
                runs[name] = peer(frame)
            except ImportError as error:
                print(f"{name} is left out: {error}")
        watch = Watch()
        for name in [*runs, *reversed(runs)]:
            times.setdefault(name, []).append(runs[name]())
        others = watch.others()
    best = min(times["camelid"])
    print(f"{BOOTSTRAPS} Bradley-Terry bootstraps, {BATTLES:,} battles, {MODELS} models; others took {others:.0%} of the cores")
    print("| | seconds, smaller of two | times Camelid's |\n|---|---|---|")
    for name, seconds in times.items():
        print(f"| {name} | {min(seconds):.3f} | {min(seconds) / best:.0f} |")


if __name__ == "__main__":
    main()
