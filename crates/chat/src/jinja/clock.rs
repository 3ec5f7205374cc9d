//! `strftime_now` for templates that write today's date. Times are UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// The present time by a `strftime` format.
pub fn strftime_now(format: &str) -> Result<String, minijinja::Error> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    strftime(format, seconds)
}

/// `seconds` after 1970-01-01 UTC by a format of `%Y %y %m %d %e %j %b %B %a %A %H %I %M %S %p %F %T %%`
/// and glibc's `%-d` forms without leading zeros.
fn strftime(format: &str, seconds: u64) -> Result<String, minijinja::Error> {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, day_of_year) = year_of(days);
    let (month, day) = month_of(year, day_of_year);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let hour12 = (hour + 11) % 12 + 1;
    let weekday = WEEKDAYS[(days % 7) as usize];

    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut code = chars.next();
        let padded = code != Some('-');
        if !padded {
            code = chars.next();
        }
        let number = |value: u64, width: usize| match padded {
            true => format!("{value:0width$}"),
            false => value.to_string(),
        };
        out.push_str(&match code {
            Some('Y') => year.to_string(),
            Some('y') => number(year % 100, 2),
            Some('m') => number(month as u64 + 1, 2),
            Some('d') => number(day, 2),
            Some('e') => format!("{day:2}"),
            Some('j') => number(day_of_year + 1, 3),
            Some('B') => MONTHS[month].to_string(),
            Some('b') => MONTHS[month][..3].to_string(),
            Some('A') => weekday.to_string(),
            Some('a') => weekday[..3].to_string(),
            Some('H') => number(hour, 2),
            Some('I') => number(hour12, 2),
            Some('M') => number(minute, 2),
            Some('S') => number(second, 2),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_string(),
            Some('F') => format!("{year}-{:02}-{day:02}", month + 1),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('%') => "%".to_string(),
            other => {
                return Err(minijinja::Error::new(
                    minijinja::ErrorKind::InvalidOperation,
                    format!("strftime_now: %{} is not supported", other.map_or(String::new(), String::from)),
                ));
            }
        });
    }
    Ok(out)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

/// Year and day of the year, from 0.
fn year_of(mut days: u64) -> (u64, u64) {
    let mut year = 1970;
    loop {
        let length = 365 + u64::from(is_leap(year));
        if days < length {
            return (year, days);
        }
        days -= length;
        year += 1;
    }
}

/// Month from 0 and day of the month from 1.
fn month_of(year: u64, mut day: u64) -> (usize, u64) {
    let february = 28 + u64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in lengths.into_iter().enumerate() {
        if day < length {
            return (month, day + 1);
        }
        day -= length;
    }
    (11, 31)
}

#[cfg(test)]
mod tests {
    use super::strftime;

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
            assert_eq!(strftime("%A %d %B %Y %T %p %j", seconds).unwrap(), expected);
        }
        assert_eq!(strftime("%-d %b %y, %I%%", 951_826_554).unwrap(), "29 Feb 00, 12%");
        assert!(strftime("%Q", 0).is_err());
    }
}
