//! `strftime_now` for templates that write today's date. Times are UTC.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Utc};

/// The present time by a `strftime` format.
pub fn strftime_now(format: &str) -> Result<String, minijinja::Error> {
    strftime(format, Utc::now())
}

fn strftime(format: &str, now: DateTime<Utc>) -> Result<String, minijinja::Error> {
    // Formatting a code that chrono does not know would fail where no error can be returned.
    if StrftimeItems::new(format).any(|item| matches!(item, Item::Error)) {
        return Err(minijinja::Error::new(
            minijinja::ErrorKind::InvalidOperation,
            format!("strftime_now: {format:?} has a code that is not supported"),
        ));
    }
    Ok(now.format(format).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(format: &str, seconds: i64) -> Result<String, minijinja::Error> {
        strftime(format, DateTime::from_timestamp(seconds, 0).unwrap())
    }

    #[test]
    fn known_moments() {
        // Values from Python's datetime.fromtimestamp(t, timezone.utc).strftime.
        let cases = [
            (0, "Thursday 01 January 1970 00:00:00 AM 001"),
            (951_826_554, "Tuesday 29 February 2000 12:15:54 PM 060"),
            (1_704_067_199, "Sunday 31 December 2023 23:59:59 PM 365"),
            (1_735_689_599, "Tuesday 31 December 2024 23:59:59 PM 366"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(at("%A %d %B %Y %T %p %j", seconds).unwrap(), expected);
        }
        assert_eq!(at("%-d %b %y, %I%%", 951_826_554).unwrap(), "29 Feb 00, 12%");
        assert!(at("%Q", 0).is_err());
        assert!(at("%", 0).is_err());
    }
}
