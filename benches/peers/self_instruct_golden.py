"""What Stanford Alpaca's own code makes of made-up replies.

Writes crates/evolve/tests/golden/self_instruct.json: replies (from a seed), the tasks that
`post_process_gpt3_response` takes from each, and which of them its ROUGE-L loop keeps beside the seeds. The script
of Stanford Alpaca (github.com/tatsu-lab/stanford_alpaca, Apache-2.0) is given, not part of this repository:

    pip install rouge-score==0.1.2
    python benches/peers/self_instruct_golden.py generate_instruction.py
"""

import ast
import json
import pathlib
import random
import re
import string
import sys

from rouge_score import rouge_scorer

SEED, REPLIES, SHOWN = 20230314, 120, 3
TARGET = pathlib.Path(__file__).parents[2] / "crates/evolve/tests/golden/self_instruct.json"
WORDS = "name list explain compare two rivers towns birds a poem of story why how filed and or on in short long about lakes naïve 2020. 20. go to with under over green blue seven nine houses trees mapped drawn".split()
BARRED = ["maps", "Draw", "Music", "go to", "a file."]
STARTS = ["Name", "List", "Write a program that", "write a program to", "Explain", "- Compare", "Ärger is", "What is", "(Sort)", "3 towns:"]
SEEDS = ["Name two rivers and a lake in Europe.", "Explain why birds fly south.", "Write a short poem about towns."]


def functions(path):
    tree = ast.parse(pathlib.Path(path).read_text())
    wanted = {"post_process_gpt3_response", "find_word_in_string"}
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    names = {"re": re, "string": string}
    exec(compile(tree, path, "exec"), names)
    return names["post_process_gpt3_response"]


def instruction(rng, earlier):
    if earlier and rng.random() < 0.4:
        words = rng.choice(earlier).split(" ")
        words[rng.randrange(len(words))] = rng.choice(WORDS)
        return " ".join(words)
    barred = [rng.choice(BARRED)] if rng.random() < 0.15 else []
    return " ".join([rng.choice(STARTS), *barred]) + " " + " ".join(rng.choice(WORDS) for _ in range(rng.choice([1, 3, 6, 9, 9, 160])))


def piece(rng, number, text):
    if rng.random() < 0.1:
        number += 1
    space = rng.choice([" ", "  ", "\n", ""] if rng.random() < 0.2 else [" "])
    given = rng.choice(["<noinput>", "<NoInput>", "Rhine, Elbe", ""])
    answer = rng.choice(["The Rhine.", "In 2020. It was 20. May.", "1. Rhine\n2. Elbe", ""])
    parts = [f"{number}.{space}Instruction: {text}", f"{number}. Input:\n{given}", f"{number}. Output:\n{answer}"]
    if rng.random() < 0.1:
        parts.pop(rng.randrange(3))
    if rng.random() < 0.05:
        parts.append(parts[-1])
    return "\n".join(parts) + "\n"


def main():
    process = functions(sys.argv[1])
    rng = random.Random(SEED)
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    earlier, replies = list(SEEDS), []
    for _ in range(REPLIES):
        pieces = []
        for at in range(rng.randint(1, 5)):
            earlier.append(instruction(rng, earlier))
            pieces.append(piece(rng, SHOWN + 1 + at, earlier[-1]))
        if rng.random() < 0.1:
            pieces.insert(rng.randint(1, len(pieces)), "\n")
        text = "###\n".join(pieces)
        start = f"{SHOWN + 1}. Instruction:"
        replies.append({"text": text.removeprefix(start), "cut_off": rng.random() < 0.3})
    tokens = [scorer._tokenizer.tokenize(seed) for seed in SEEDS]
    for reply in replies:
        found = process(SHOWN, {"text": reply["text"], "finish_reason": "length" if reply["cut_off"] else "stop"})
        reply["tasks"] = []
        for task in found:
            new = scorer._tokenizer.tokenize(task["instruction"])
            keep = max(rouge_scorer._score_lcs(new, old).fmeasure for old in tokens) <= 0.7
            if keep:
                tokens.append(new)
            reply["tasks"].append({**task, "kept": keep})
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps({"seeds": SEEDS, "replies": replies}, ensure_ascii=False, indent=0) + "\n")
    tasks = [task for reply in replies for task in reply["tasks"]]
    print(f"{len(earlier) - len(SEEDS)} pieces, {len(tasks)} tasks, {sum(task['kept'] for task in tasks)} kept")


main()
