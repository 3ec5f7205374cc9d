"""The log-likelihoods of `camelid eval tasks` beside lm-evaluation-harness on the same weights
and prompts: difference in accuracy and in mean log-likelihood of the right answer.

    pip install torch transformers accelerate gguf lm-eval pyarrow
    camelid eval tasks --model SmolLM2-135M-Instruct.Q4_1.gguf --task mmlu --limit 500 --out DIR
    python -P benches/peers/lm_eval_likelihoods.py SmolLM2-135M-Instruct.Q4_1.gguf DIR/mmlu.parquet 8

The last argument asks every eighth question only. `-P` keeps the scripts beside this one from being
taken for packages. transformers reads the GGUF file and its tokenizer and widens the weights to f32,
as Camelid does. The prompts are those of the Parquet file; tokenisation, batching and sums are the
harness's.
"""

import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(gguf, parquet, every):
    rows = pq.read_table(parquet).to_pylist()[::every]
    place = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(**place)
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, device="cpu")
    requests = [
        Instance("loglikelihood", {}, (row["prompt"], choice), i)
        for i, row in enumerate(rows)
        for choice in row["choices"]
    ]
    start = time.time()
    answers = iter(harness.loglikelihood(requests))
    seconds = time.time() - start
    agree = ours_right = theirs_right = 0
    ours_gold = theirs_gold = worst = 0.0
    for row in rows:
        gold = int(row["gold"])
        ours = row["log_likelihoods"]
        theirs = [next(answers)[0] for _ in ours]
        ours_best, theirs_best = (max(range(len(x)), key=x.__getitem__) for x in (ours, theirs))
        agree += ours_best == theirs_best
        ours_right += ours_best == gold
        theirs_right += theirs_best == gold
        ours_gold += ours[gold]
        theirs_gold += theirs[gold]
        worst = max([worst] + [abs(a - b) for a, b in zip(ours, theirs)])
    n = len(rows)
    print(f"{n} questions, harness {seconds:.0f} s")
    print(f"accuracy: camelid {ours_right / n:.4f}, harness {theirs_right / n:.4f}")
    print(f"the same choice: {agree} of {n}")
    print(
        f"mean log-likelihood of the right answer: camelid {ours_gold / n:.6f}, harness "
        f"{theirs_gold / n:.6f}, difference {(ours_gold - theirs_gold) / n:+.2e}"
    )
    print(f"largest difference of any choice: {worst:.2e} nats")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
