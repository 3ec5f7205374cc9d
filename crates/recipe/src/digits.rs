//! Figures with the digits that their spread supports.

use camelid_report::short;

/// `value` with as many digits as make two of its standard error (or spread): 0.0178 ± 0.0034, not
/// 0.017823. Four significant digits where nothing is known of the spread.
pub fn rounded(value: f64, error: f64) -> String {
    if !(error.is_finite() && error > 0.0 && value.is_finite()) {
        return short(value);
    }
    let decimals = (1 - error.log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| matches!(c, '0' | '.')) => zero.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn the_error_decides_the_digits() {
        assert_eq!(rounded(-0.000_758, 0.0107), "-0.001");
        assert_eq!(rounded(-0.000_2, 0.0107), "0.000");
        assert_eq!(rounded(0.017_823, 0.0034), "0.0178");
        assert_eq!(rounded(57.94, 3.6), "57.9");
        assert_eq!(rounded(1348.2, 25.0), "1348");
        assert_eq!(rounded(0.126_953, 0.0), "0.1270");
    }
}
