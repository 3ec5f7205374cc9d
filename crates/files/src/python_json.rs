//! JSON as Python writes it with an indent of two.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// A row as it stands in an array that Python's `json.dump(rows, file, indent=2, ensure_ascii=False)`
/// writes, without what stands between rows: so that several threads can give rows their form.
pub fn array_item(row: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A vector takes everything, and JSON has a form for every row of data.
    let _ = row.serialize(&mut Serializer::with_formatter(&mut bytes, Python::item()));
    bytes
}

/// JSON as Python writes it with an indent of two: serde's own form, but for the exponents of numbers.
struct Python(PrettyFormatter<'static>);

impl Python {
    /// For an item of an array, which stands one step in: serde counts from nothing, so that the
    /// writer's lines begin two spaces further right.
    fn item() -> Self {
        let mut formatter = PrettyFormatter::with_indent(b"  ");
        // The array around the item was opened by hand.
        let _ = formatter.begin_array(&mut io::sink());
        Self(formatter)
    }
}

impl Formatter for Python {
    fn write_f64<W: ?Sized + Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let scientific = format!("{value:e}");
        let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        if (-4..16).contains(&exponent) || value == 0.0 {
            let plain = format!("{value}");
            return writer.write_all(if plain.contains('.') { plain } else { plain + ".0" }.as_bytes());
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(writer, "{digits}e{sign}{:02}", exponent.abs())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_is_indented_as_in_its_array() {
        let value =
            json!({"a": [], "b": {}, "c": [1, "x\u{7f}\u{1}\u{2028}é\n\"\\"], "d": {"e": null, "f": true}});
        let expected = "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    \"x\u{7f}\\u0001\u{2028}é\\n\\\"\\\\\"\n  ],\n  \
                        \"d\": {\n    \"e\": null,\n    \"f\": true\n  }\n}";
        assert_eq!(String::from_utf8(array_item(&value)).unwrap(), expected.replace('\n', "\n  "));
    }

    #[test]
    fn floats_have_pythons_shortest_form() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001234, "1.234e-05"),
            (-2e-7, "-2e-07"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(String::from_utf8(array_item(&value)).unwrap(), expected);
        }
    }
}
