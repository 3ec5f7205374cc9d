"""Writes crates/ratings/tests/golden/unusual_types.parquet: six made-up battles beside columns of types
that polars does not have, by pyarrow.

    pip install pyarrow
    python benches/peers/parquet_golden.py
"""

import decimal
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

TARGET = pathlib.Path(__file__).parents[2] / "crates/ratings/tests/golden/unusual_types.parquet"
halves = pa.array([1.0] * 6, pa.float32()).cast(pa.float16())

pq.write_table(
    pa.table(
        {
            "model_a": ["x", "y", "z", "x", "y", "x"],
            "model_b": ["y", "z", "x", "y", "x", "z"],
            "winner": ["model_a", "model_b", "tie", "tie (bothbad)", "model_a", "model_b"],
            "turn": halves,
            "question_id": pa.array([decimal.Decimal(10**39 - i) for i in range(6)], pa.decimal256(40, 0)),
            "judge": pa.StructArray.from_arrays([halves], ["share"]),
            "language": pa.ListArray.from_arrays(list(range(7)), halves),
        }
    ),
    TARGET,
    compression="none",
)
print(TARGET, TARGET.stat().st_size, "bytes")
