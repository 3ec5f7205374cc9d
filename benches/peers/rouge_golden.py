"""ROUGE-L of made-up instructions by the Python package rouge-score, and what Alpaca's filter makes of them.

Writes crates/text/tests/golden/rouge.json: texts (from a seed), the F-measure of some pairs, and for each text in
order the place of the first earlier kept text that scores highest among those above 0.7, as
`generate_instruction.py` of Stanford Alpaca compares them (no stemming), or null where the text is kept.

    pip install rouge-score==0.1.2
    python benches/peers/rouge_golden.py
"""

import json
import pathlib
import random

from rouge_score import rouge_scorer

SEED, TEXTS, PAIRS = 20230313, 400, 300
TARGET = pathlib.Path(__file__).parents[2] / "crates/text/tests/golden/rouge.json"
WORDS = "name list write explain compare a the of two three rivers towns birds poem story why how does work and or in naïve don't it's C++ e-mail 3.5 Ünder 東京 short long about".split()


def make(rng):
    texts = []
    for _ in range(TEXTS):
        if texts and rng.random() < 0.5:
            words = rng.choice(texts).split(" ")
            for _ in range(rng.randint(0, 4)):
                at = rng.randrange(len(words))
                words[at : at + rng.randint(0, 1)] = [rng.choice(WORDS)] if rng.random() < 0.7 else []
                words = words or ["x"]
        else:
            words = [rng.choice(WORDS) for _ in range(rng.choice([1, 3, 5, 8, 10, 10, 15, 20, 70]))]
        texts.append(" ".join(words) + rng.choice([".", "?", "", "!"]))
    return texts


def main():
    rng = random.Random(SEED)
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    texts = make(rng)
    # Scores that are the threshold but for rounding: 7 of 10 in common, and the like.
    for common, length in [(7, 10), (14, 20), (21, 30), (35, 50), (70, 100)]:
        texts.append(" ".join(f"a{i}" for i in range(length)))
        texts.append(" ".join(f"a{i}" if i < common else f"b{i}" for i in range(length)))
    tokens = [scorer._tokenizer.tokenize(text) for text in texts]
    pairs = [(rng.randrange(len(texts)), rng.randrange(len(texts))) for _ in range(PAIRS)]
    scores = [[a, b, rouge_scorer._score_lcs(tokens[a], tokens[b]).fmeasure] for a, b in pairs]
    kept, like = [], []
    for new in range(len(texts)):
        found = [rouge_scorer._score_lcs(tokens[new], tokens[old]).fmeasure for old in kept]
        if found and max(found) > 0.7:
            like.append(kept[found.index(max(found))])
        else:
            like.append(None)
            kept.append(new)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps({"texts": texts, "scores": scores, "like": like}, ensure_ascii=False, indent=0) + "\n")
    print(f"{len(texts)} texts, {len(kept)} kept")


main()
