"""Writes crates/eval/tests/golden/tasks/kinds.arrow: an Arrow stream of two batches with every
type that camelid-eval reads, made by pyarrow, and the same rows as JSON lines.

    pip install pyarrow
    python benches/peers/arrow_golden.py crates/eval/tests/golden/tasks
"""

import json
import sys
from pathlib import Path

import pyarrow as pa

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("wide", pa.large_string()),
        ("small", pa.int8()),
        ("count", pa.int64()),
        ("mask", pa.uint16()),
        ("share", pa.float64()),
        ("half", pa.float32()),
        ("right", pa.bool_()),
        ("choices", pa.list_(pa.string())),
        ("nested", pa.struct([("label", pa.list_(pa.string())), ("index", pa.int32())])),
        ("nothing", pa.null()),
    ]
)


def row(i):
    return {
        "text": None if i == 3 else f"llama {i} \u2013 \u00e9",
        "wide": "x" * i,
        "small": -i,
        "count": i * 10**12,
        "mask": 65535 - i,
        "share": i / 8,
        "half": None if i == 1 else i / 4,
        "right": None if i == 2 else i % 2 == 0,
        "choices": None if i == 4 else [f"choice {j}" for j in range(i)],
        "nested": None if i == 5 else {"label": ["A", "B"][: i % 3], "index": i},
        "nothing": None,
    }


def main(out):
    rows = [row(i) for i in range(11)]
    with pa.OSFile(str(out / "kinds.arrow"), "wb") as sink, pa.ipc.new_stream(sink, SCHEMA) as stream:
        for part in (rows[:9], rows[9:]):
            stream.write_batch(pa.RecordBatch.from_pylist(part, schema=SCHEMA))
    lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
    (out / "kinds.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
