//! Rows inside the only object of a file.

use serde_json::{Map, Value};

/// Keys under which programs put rows.
const WRAPPERS: [&str; 7] = ["data", "rows", "records", "items", "examples", "instances", "results"];

/// The rows that an object holds, or `None` when it is a single row itself.
pub(super) fn rows(object: Map<String, Value>) -> Option<Vec<Value>> {
    split(&object).or_else(|| wrapped(&object)).or_else(|| by_columns(&object)).or_else(|| by_index(&object))
}

/// pandas' `orient="split"`: `{"columns": […], "index": […], "data": [[…], …]}`.
fn split(object: &Map<String, Value>) -> Option<Vec<Value>> {
    let columns: Vec<&str> =
        object.get("columns")?.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
    let rows = object.get("data")?.as_array()?;
    rows.iter()
        .map(|row| {
            let cells = row.as_array().filter(|cells| cells.len() == columns.len())?;
            Some(fields(columns.iter().copied().zip(cells)))
        })
        .collect()
}

/// `{"data": [{…}, …], …}`, which is also pandas' `orient="table"`; a row may be wrapped once more,
/// as in `{"rows": [{"row_idx": 0, "row": {…}}]}`.
fn wrapped(object: &Map<String, Value>) -> Option<Vec<Value>> {
    let rows = WRAPPERS.iter().find_map(|key| {
        let rows = object.get(*key)?.as_array()?;
        (!rows.is_empty() && rows.iter().all(Value::is_object)).then_some(rows)
    })?;
    let inner = |row: &Value| match row.get("row") {
        Some(inner @ Value::Object(_)) if only_wraps(row) => inner.clone(),
        _ => row.clone(),
    };
    Some(rows.iter().map(inner).collect())
}

/// Whether a row holds nothing but a `row` and what Hugging Face's viewer says about it.
fn only_wraps(row: &Value) -> bool {
    let about = ["row", "row_idx", "truncated_cells"];
    row.as_object().is_some_and(|row| row.keys().all(|key| about.contains(&key.as_str())))
}

/// pandas' `orient="columns"`, its default: `{"a": {"0": …, "1": …}, "b": {…}}`, and lists in place
/// of the inner objects. Lists of objects are no columns: they are the turns of a conversation.
fn by_columns(object: &Map<String, Value>) -> Option<Vec<Value>> {
    if let Some(columns) = object.values().map(Value::as_array).collect::<Option<Vec<_>>>() {
        let length = columns.first()?.len();
        let table = columns.iter().all(|c| c.len() == length && !c.iter().any(Value::is_object));
        return table.then(|| {
            (0..length)
                .map(|row| fields(object.keys().map(String::as_str).zip(columns.iter().map(|c| &c[row]))))
                .collect()
        });
    }
    let columns: Vec<_> = object.values().map(Value::as_object).collect::<Option<_>>()?;
    let rows: Vec<&String> = columns.first()?.keys().collect();
    let names_itself = || {
        object.values().any(|column| {
            let mut cells = column.as_object().into_iter().flatten();
            cells.all(|(row, cell)| cell.as_str() == Some(row))
        })
    };
    let numbered = rows.iter().all(|key| is_number(key));
    let table = (numbered || object.keys().any(|key| is_field(key)) || names_itself()) && same_keys(&columns);
    (table && !rows.is_empty()).then(|| {
        let row =
            |key: &&String| fields(object.keys().map(String::as_str).zip(columns.iter().map(|c| &c[*key])));
        rows.iter().map(row).collect()
    })
}

/// pandas' `orient="index"`: `{"0": {…}, "1": {…}}`, or the rows by names of their own.
fn by_index(object: &Map<String, Value>) -> Option<Vec<Value>> {
    let rows: Vec<_> = object.values().map(Value::as_object).collect::<Option<_>>()?;
    let first = rows.first()?;
    let numbered = object.keys().all(|key| is_number(key));
    let names_itself =
        || first.keys().any(|field| object.iter().all(|(name, row)| row[field].as_str() == Some(name)));
    let named = || same_keys(&rows) && (first.keys().any(|key| is_field(key)) || names_itself());
    (numbered || named()).then(|| object.values().cloned().collect())
}

/// Field names by which rows with names of their own are told from columns.
const FIELDS: [&str; 12] = [
    "model_a",
    "model_b",
    "winner",
    "messages",
    "conversations",
    "conversation",
    "instruction",
    "prompt",
    "output",
    "response",
    "question",
    "answer",
];

fn is_field(key: &str) -> bool {
    FIELDS.contains(&key)
}

fn same_keys(objects: &[&Map<String, Value>]) -> bool {
    let Some(first) = objects.first() else { return false };
    objects
        .iter()
        .all(|object| object.len() == first.len() && first.keys().all(|key| object.contains_key(key)))
}

fn is_number(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
}

fn fields<'a>(cells: impl Iterator<Item = (&'a str, &'a Value)>) -> Value {
    Value::Object(cells.map(|(name, value)| (name.to_owned(), value.clone())).collect())
}
