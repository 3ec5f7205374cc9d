//! How long to wait before asking again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds before attempt `failures + 1`: they double from `first` up to `longest`, and a
/// share of up to a half is drawn off so that clients which failed together do not come back
/// together. `draw` is uniform over all 64-bit numbers.
pub(super) fn wait_ms(first: u64, longest: u64, failures: u32, draw: u64) -> u64 {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(40));
    let whole = doubled.min(longest);
    let share = draw as f64 / u64::MAX as f64;
    whole - (whole as f64 / 2.0 * share) as u64
}

/// A number that looks drawn at random, for each seed and place (SplitMix64: Steele, Lea and
/// Flood 2014).
pub(super) fn draw(seed: u64, place: u64) -> u64 {
    let mut z = seed.wrapping_add((place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Milliseconds that a `Retry-After` header asks for (RFC 9110, 10.2.3): a number of seconds, or
/// a date such as `Sun, 06 Nov 1994 08:49:37 GMT`. Some servers send fractions of a second.
pub(super) fn retry_after_ms(value: &str, now: SystemTime) -> Option<u64> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return (seconds >= 0.0).then_some((seconds * 1000.0).ceil() as u64);
    }
    let until = UNIX_EPOCH + Duration::from_secs(http_date(value)?);
    Some(until.duration_since(now).map_or(0, |wait| wait.as_millis() as u64))
}

/// Seconds since 1970 of an IMF-fixdate (RFC 9110, 5.6.7).
fn http_date(value: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let fields: Vec<&str> = value.split_once(", ")?.1.split(' ').collect();
    let [day, month, year, time, "GMT"] = fields[..] else { return None };
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let month = MONTHS.iter().position(|name| *name == month)? as u64;
    let time: Vec<u64> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = time[..] else { return None };
    if !(1970..10_000).contains(&year)
        || !(1..=31).contains(&day)
        || hours > 23
        || minutes > 59
        || seconds > 60
    {
        return None;
    }
    // Years are counted from March, so that the leap day comes last (Hinnant, "days_from_civil").
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_at_most_half_is_drawn_off() {
        let longest: Vec<u64> = (1..=5).map(|failures| wait_ms(100, 1000, failures, 0)).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1000]);
        let shortest: Vec<u64> = (1..=5).map(|failures| wait_ms(100, 1000, failures, u64::MAX)).collect();
        assert_eq!(shortest, [50, 100, 200, 400, 500]);
        assert_eq!(wait_ms(1000, 60_000, u32::MAX, 0), 60_000);
    }

    #[test]
    fn draws_follow_the_seed_and_spread() {
        assert_eq!(draw(5, 0), draw(5, 0));
        assert_ne!(draw(5, 0), draw(6, 0));
        let mean = (0..1000).map(|place| draw(1, place) as f64 / u64::MAX as f64).sum::<f64>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (value, expected) in [
            ("7", Some(7000)),
            (" 0.25", Some(250)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30_000)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 00:00:00 GMT", Some((1_709_164_800 - 784_111_747) * 1000)),
            ("-1", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 06 Nov 0001 08:49:37 GMT", None),
        ] {
            assert_eq!(retry_after_ms(value, now), expected, "{value}");
        }
    }
}
