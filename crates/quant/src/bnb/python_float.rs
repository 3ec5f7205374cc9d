//! Floats as Python's `json.dumps` writes them.

/// `repr` of a Python float: the shortest digits that read back, with an exponent
/// below 1e-4 and from 1e16 on.
pub(super) fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { plain + ".0" }
}

#[cfg(test)]
mod tests {
    use super::python_float;

    /// Left: values. Right: what Python 3 prints for `json.dumps(value)`.
    #[test]
    fn agrees_with_python() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (f64::from(0.210_710_03_f32), "0.21071003377437592"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.0000123456, "1.23456e-05"),
            (1e-38, "1e-38"),
            (1e-100, "1e-100"),
            (123_456.5, "123456.5"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-2.5e20, "-2.5e+20"),
        ];
        for (value, expected) in cases {
            assert_eq!(python_float(value), expected);
        }
    }
}
