"""ROUGE-L filter of 52,000 instructions: Camelid beside the way of Stanford Alpaca's script.

    cargo build -p camelid-evolve --example evolve_times
    pip install rouge-score==0.1.2
    python benches/peers/rouge_filter.py [--instructions 52000] [--original 2000]

The instructions are made up here, a third of them edits of earlier ones. Alpaca's script scores each new
instruction against all that were kept, by rouge-score, in 16 processes started for every instruction; here it is
spared those and scores in one process, over the first --original instructions. What both decide on these is compared.
The time for all is that of one comparison times their number: it grows with the square.
"""

import argparse
import pathlib
import random
import subprocess
import tempfile
import time

from rouge_score import rouge_scorer

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLE = ROOT / "target/debug/examples/evolve_times"
SYLLABLES = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we yo ing er ment ly est ous".split()


def make(count):
    rng = random.Random(52002)
    words = ["".join(rng.choice(SYLLABLES) for _ in range(1 + at % 4)) for at in range(18000)]
    word = lambda: words[int(len(words) * rng.random() ** 3)]
    texts = []
    for _ in range(count):
        if texts and rng.random() < 1 / 3:
            text = rng.choice(texts).split(" ")
            for _ in range(rng.randint(1, 6)):
                text[rng.randrange(len(text))] = word()
        else:
            text = [word() for _ in range(rng.randint(5, 25))]
        texts.append(" ".join(text))
    return texts


def original(texts):
    """The indices that are dropped, and the number of comparisons."""
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    kept, dropped, comparisons = [], [], 0
    for at, text in enumerate(texts):
        tokens = scorer._tokenizer.tokenize(text)
        scores = [rouge_scorer._score_lcs(tokens, other).fmeasure for other in kept]
        comparisons += len(kept)
        if scores and max(scores) > 0.7:
            dropped.append(at)
        else:
            kept.append(tokens)
    return dropped, comparisons


def ours(texts):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(texts))
        file.flush()
        lines = subprocess.run([EXAMPLE, "rouge", file.name], check=True, capture_output=True, text=True).stdout.splitlines()
    return lines[0], [int(at) for at in lines[1].strip("[]").split(", ") if at], lines[2]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--instructions", type=int, default=52_000)
    parser.add_argument("--original", type=int, default=2_000)
    options = parser.parse_args()
    texts = make(options.instructions)
    said, dropped, peak = ours(texts)
    print(f"Camelid, {len(texts):,} instructions: {said}; {peak}")
    began = time.perf_counter()
    theirs, comparisons = original(texts[: options.original])
    seconds = time.perf_counter() - began
    first, said = [at for at in dropped if at < options.original], ours(texts[: options.original])[0]
    print(f"rouge-score, the first {options.original:,}: {seconds:.1f} s, {comparisons:,} comparisons (Camelid: {said})")
    print("the decisions on these are " + ("the same" if theirs == first else "not the same"))
    gone, kept, all_comparisons = set(dropped), 0, 0
    for at in range(len(texts)):
        all_comparisons += kept
        kept += at not in gone
    hours = seconds / comparisons * all_comparisons / 3600
    print(f"rouge-score, all {len(texts):,}: {all_comparisons:,} comparisons, about {hours:.1f} h of one core")


main()
