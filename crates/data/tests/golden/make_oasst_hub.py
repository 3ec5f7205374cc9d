"""Writes oasst_hub.parquet: invented messages in the column layout of the
OpenAssistant/oasst1 data set on the hub, struct columns and Snappy included.

    pip install pyarrow && python make_oasst_hub.py
"""
import os
import pyarrow as pa
import pyarrow.parquet as pq


def row(mid, parent, text, role, tree, rank=None, lang="en", deleted=False,
        synthetic=False, review_result=True, state="ready_for_export"):
    return dict(
        message_id=mid, parent_id=parent, user_id="u", created_date="2023-02-05T14:23:50",
        text=text, role=role, lang=lang, review_count=3, review_result=review_result,
        deleted=deleted, rank=rank, synthetic=synthetic, model_name=None,
        detoxify=dict(toxicity=0.01, insult=0.02), message_tree_id=tree, tree_state=state,
        emojis=dict(name=["+1"], count=[2]),
        labels=dict(name=["spam", "quality"], value=[0.0, 0.75], count=[3, 3]))


ROWS = [
    row("t1", None, "What is a camelid?", "prompter", "t1"),
    row("t1a", "t1", "An animal.", "assistant", "t1", rank=1),
    row("t1b", "t1", "A camel, a llama, an alpaca, a guanaco or a vicuña.", "assistant", "t1", rank=0),
    row("t1b1", "t1b", "Which of them is wild?", "prompter", "t1"),
    row("t1b1x", "t1b1", "The guanaco and the vicuña.", "assistant", "t1", rank=0),
    row("t1b1y", "t1b1", "None.", "assistant", "t1", rank=1, synthetic=True),
    row("t2", None, "¿Qué es un guanaco?", "prompter", "t2", lang="es"),
    row("t2a", "t2", "Un camélido de Sudamérica.", "assistant", "t2", lang="es"),
    row("t2b", "t2", "Nada.", "assistant", "t2", rank=0, lang="es", deleted=True),
    row("t3", None, "Spam", "prompter", "t3", state="prompt_lottery_waiting"),
]

CELL = [
    ("message_id", pa.string()), ("parent_id", pa.string()), ("user_id", pa.string()),
    ("created_date", pa.string()), ("text", pa.string()), ("role", pa.string()),
    ("lang", pa.string()), ("review_count", pa.int32()), ("review_result", pa.bool_()),
    ("deleted", pa.bool_()), ("rank", pa.int32()), ("synthetic", pa.bool_()),
    ("model_name", pa.string()),
    ("detoxify", pa.struct([("toxicity", pa.float64()), ("insult", pa.float64())])),
    ("message_tree_id", pa.string()), ("tree_state", pa.string()),
    ("emojis", pa.struct([("name", pa.list_(pa.string())), ("count", pa.list_(pa.int32()))])),
    ("labels", pa.struct([("name", pa.list_(pa.string())), ("value", pa.list_(pa.float64())),
                          ("count", pa.list_(pa.int32()))])),
]
here = os.path.dirname(os.path.abspath(__file__))
table = pa.Table.from_pylist(ROWS, schema=pa.schema(CELL))
pq.write_table(table, os.path.join(here, "oasst_hub.parquet"), compression="snappy", row_group_size=6)
pq.write_table(table.drop_columns(["rank"]), os.path.join(here, "oasst_hub_without_rank.parquet"))
guanaco = pa.table({"text": ["### Human: Hi### Assistant: Hello.", "### Human: No answer", None]})
pq.write_table(guanaco, os.path.join(here, "guanaco_text.parquet"))
