use std::io::Cursor;
use std::path::Path;

use serde_json::json;

use super::*;

fn open(text: &str) -> Records {
    let input = Input::from_reader(Path::new("rows"), Cursor::new(text.as_bytes().to_vec())).unwrap();
    Records::new(input).unwrap()
}

/// Rows, bad rows, and the error that ended the reading.
fn read(text: &str) -> (Vec<Value>, Vec<String>, Option<String>) {
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    let end = open(text).for_each(|record| match record {
        Ok(record) => rows.push(Value::Object(record.fields)),
        Err(error) => bad.push(error.to_string()),
    });
    (rows, bad, end.err().map(|error| error.to_string()))
}

#[test]
fn every_shape_gives_the_same_rows() {
    let rows = vec![json!({"a": "x", "b": "1"}), json!({"a": "y, z", "b": "2"})];
    let lines = rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let pretty = rows.iter().map(|row| format!("{row:#}\n")).collect::<String>();
    let shapes = [
        ("array", json!(rows).to_string(), Shape::Array),
        ("indented array", format!("\n{:#}\n", json!(rows)), Shape::Array),
        ("lines", lines.clone(), Shape::Lines),
        ("lines without an end", lines.trim_end().replace('\n', "\r\n\r\n"), Shape::Lines),
        ("indented objects", pretty.clone(), Shape::Values),
        ("objects on one line", lines.replace('\n', " "), Shape::Values),
        ("data", json!({"version": 1, "data": rows}).to_string(), Shape::Wrapped),
        ("indented results", format!("{:#}", json!({"results": rows})), Shape::Wrapped),
        (
            "rows within rows",
            json!({"rows": [{"row_idx": 0, "row": rows[0]}, {"row_idx": 1, "row": rows[1]}]}).to_string(),
            Shape::Wrapped,
        ),
        (
            "columns",
            json!({"a": {"0": "x", "1": "y, z"}, "b": {"0": "1", "1": "2"}}).to_string(),
            Shape::Wrapped,
        ),
        ("lists", json!({"a": ["x", "y, z"], "b": ["1", "2"]}).to_string(), Shape::Wrapped),
        ("index", json!({"10": rows[0], "11": rows[1]}).to_string(), Shape::Wrapped),
        (
            "rows within rows that are not numbered",
            json!({"rows": [{"row": rows[0]}, {"row": rows[1]}]}).to_string(),
            Shape::Wrapped,
        ),
        (
            "columns with names for rows",
            json!({"a": {"x": "x", "y, z": "y, z"}, "b": {"x": "1", "y, z": "2"}}).to_string(),
            Shape::Wrapped,
        ),
        ("rows by names", json!({"x": rows[0], "y, z": rows[1]}).to_string(), Shape::Wrapped),
        (
            "split",
            json!({"columns": ["a", "b"], "index": [0, 1], "data": [["x", "1"], ["y, z", "2"]]}).to_string(),
            Shape::Wrapped,
        ),
        ("csv", "a, b\nx,1\n\"y, z\",2\n".to_owned(), Shape::Separated(',')),
        ("tsv", "a\tb\r\nx\t1\r\ny, z\t2".to_owned(), Shape::Separated('\t')),
        ("semicolons", "a;b\nx;1\ny, z;2\n".to_owned(), Shape::Separated(';')),
        (
            "blanks around quotes",
            " \"a\", \"b\"\n\"x\" , \"1\"\r\n  \"y, z\",2\n".to_owned(),
            Shape::Separated(','),
        ),
        (
            "marks before lines",
            format!("\u{feff}\u{feff}{}", lines.replace('\n', "\n\u{feff}")),
            Shape::Lines,
        ),
        ("quoted header", "\"a\",\"b\"\nx,1\n\"y, z\",2\n".to_owned(), Shape::Separated(',')),
    ];
    for (name, text, shape) in shapes {
        assert_eq!(open(&text).shape(), shape, "{name}");
        assert_eq!(read(&text), (rows.clone(), vec![], None), "{name}");
    }
}

#[test]
fn a_single_conversation_is_a_row_and_no_table() {
    let row =
        json!({"id": 1, "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]});
    let bare = json!({"messages": [{"role": "user", "content": "a"}]});
    for row in [row, bare] {
        assert_eq!(read(&row.to_string()), (vec![row.clone()], vec![], None));
        assert_eq!(read(&format!("{row:#}")), (vec![row.clone()], vec![], None));
    }
}

#[test]
fn a_bad_row_is_named_and_the_others_are_read() {
    let good = vec![json!({"a": 1}), json!({"a": 3})];
    let (rows, bad, end) = read("[{\"a\": 1}, {\"a\": nul}, 7, \"x]\", {\"a\": 3}]");
    assert_eq!((rows, end), (good.clone(), None));
    assert_eq!(bad.len(), 3);
    assert!(bad[0].starts_with("item 2: not JSON"), "{bad:?}");
    assert_eq!(
        bad[1..],
        ["item 3: a number; an object is expected", "item 4: a text; an object is expected"]
    );

    let (rows, bad, end) = read("{\"a\": 1}\n{\"a\": \n{\"a\": 3}\n");
    assert_eq!((rows, end), (good.clone(), None));
    assert!(bad[0].starts_with("line 2: the JSON is cut off"), "{bad:?}");

    // A first line that is cut off takes nothing with it.
    let (rows, bad, _) = read("{\"a\": 0, \"b\n{\"a\": 1}\n{\"a\": 3}\n");
    assert_eq!(rows, good);
    assert!(bad[0].starts_with("line 1: "), "{bad:?}");

    let (rows, bad, _) = read("a,b\n1,2\n3\n\"4\n5\",6\n");
    assert_eq!(rows, [json!({"a": "1", "b": "2"}), json!({"a": "4\n5", "b": "6"})]);
    assert_eq!(bad, ["line 3: 1 cells; the first line names 2 columns"]);
}

#[test]
fn what_python_writes_is_read_and_said() {
    let mut records = open("[{\"a\": NaN}, {\"a\": \"\\ud83d\"}, {\"a\": 9007199254740993}]");
    let mut next = || records.next_record().unwrap().unwrap().unwrap();
    let first = next();
    assert_eq!((first.fields["a"].clone(), first.notes), (Value::Null, vec![Note::Nonfinite]));
    assert_eq!(next().notes, [Note::LoneSurrogate]);
    assert_eq!(next().fields["a"].as_u64(), Some(9_007_199_254_740_993));
}

#[test]
fn an_array_that_is_cut_off_gives_its_rows_and_then_an_error() {
    for text in ["[{\"a\": 1}, {\"a\": 2", "[{\"a\": 1}, {\"a\": \"]}", "[{\"a\": 1},", "[{\"a\": 1}"] {
        let (rows, _, end) = read(text);
        assert_eq!(rows, [json!({"a": 1})], "{text}");
        assert!(
            end.as_deref().unwrap_or_default().contains("rows: the JSON array is cut off"),
            "{text}: {end:?}"
        );
    }
    assert!(read("[{\"a\": 1}] x").2.unwrap().contains("more text after"));
    assert!(read("[{\"a\": 1} {\"a\": 2}]").2.unwrap().contains("after item 1"));
    assert_eq!(read("[]"), (vec![], vec![], None));
    assert_eq!(read(" \n"), (vec![], vec![], None));
}

#[test]
fn values_longer_than_the_buffer_are_whole() {
    let long = "é\\\"]".repeat(100_000);
    let text = format!("[{{\"a\": \"{long}\"}}, {{\"a\": 2}}]");
    let (rows, bad, end) = read(&text);
    assert_eq!((rows.len(), bad, end), (2, vec![], None));
    assert_eq!(rows[0]["a"].as_str().unwrap().len(), 4 * 100_000);
    // A first line longer than what is looked at is a line.
    let (rows, bad, end) = read(&format!("{{\"a\": \"{long}\"}}\n{{\"a\": 2}}\n"));
    assert_eq!((rows.len(), bad, end), (2, vec![], None));
}

#[test]
fn quotes_and_blanks_within_cells_stay() {
    let (rows, bad, _) = read("a,b\n \"say \"\"x\"\" , y\" , z \"q\" \n  p,\"\"\n");
    assert_eq!(bad, Vec::<String>::new());
    assert_eq!(rows, [json!({"a": "say \"x\" , y", "b": " z \"q\" "}), json!({"a": "  p", "b": ""})]);
}

#[test]
fn names_of_rows_are_told_from_names_of_columns_by_the_fields() {
    let row = json!({"model_a": "x", "winner": "tie"});
    assert_eq!(read(&json!({"q1": row, "q2": row}).to_string()).0, [row.clone(), row.clone()]);
    let columns = json!({"model_a": {"q1": "x", "q2": "x"}, "winner": {"q1": "tie", "q2": "tie"}});
    assert_eq!(read(&columns.to_string()).0, [row.clone(), row]);
    // One object of objects that nothing tells is a row.
    let one = json!({"left": {"u": 1, "v": 2}, "right": {"u": 3, "v": 4}});
    assert_eq!(read(&one.to_string()).0, [one]);
}

#[test]
fn a_list_of_messages_is_a_row() {
    let talk = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]);
    let row = json!({"messages": talk});
    assert_eq!(read(&json!([talk, talk]).to_string()), (vec![row.clone(), row.clone()], vec![], None));
    assert_eq!(read(&format!("{talk}\n{talk}\n")), (vec![row.clone(), row], vec![], None));
    assert_eq!(read("[[1], []]").1.len(), 2);
}

#[test]
fn texts_of_other_encodings_are_read_or_named() {
    let rows = |bytes: Vec<u8>| {
        let input = Input::from_reader(Path::new("rows"), Cursor::new(bytes)).unwrap();
        Records::new(input)
    };
    let units = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mut csv = rows(units("\u{feff}a,b\nÜ,2\n")).unwrap();
    assert_eq!(csv.next_record().unwrap().unwrap().unwrap().fields["a"], "Ü");
    let unmarked = rows(units("a,b\n1,2\n3,4\n")).err().unwrap().to_string();
    assert!(unmarked.contains("UTF-16 text without a byte-order mark"), "{unmarked}");
    let mut latin = rows(b"{\"a\": \"\xe9\"}\n{\"a\": 1}\n".to_vec()).unwrap();
    assert_eq!(latin.next_record().unwrap().unwrap().unwrap_err().to_string(), "line 1: not UTF-8");
    assert!(latin.next_record().unwrap().unwrap().is_ok());
}

#[test]
fn binary_files_and_doubled_columns_are_refused_by_name() {
    let refusal = |bytes: &[u8]| {
        let input = Input::from_reader(Path::new("rows"), Cursor::new(bytes.to_vec())).unwrap();
        Records::new(input).err().unwrap().to_string()
    };
    assert!(refusal(b"PAR1\0\0").starts_with("rows: a Parquet file"));
    assert!(refusal(b"a,b,a\n1,2,3\n").contains("column `a` stands twice"));
}
