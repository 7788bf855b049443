//! Numbers, as people read them.

use std::time::Duration;

/// A whole number with its thousands apart: `16,381`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut result = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            result.push(',');
        }
        result.push(digit);
    }
    result
}

/// A number in at most five characters: `7`, `981`, `1.23k`, `12.3M`.
#[must_use]
pub fn short(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    if value < 0.005 {
        return "0".to_owned();
    }
    if value < 0.0995 {
        return format!("{value:.2}");
    }
    if value < 9.95 {
        return format!("{value:.1}");
    }
    let mut value = value;
    let mut unit = "";
    for larger in ["k", "M", "G", "T", "P"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    match unit {
        "" => format!("{value:.0}"),
        _ if value < 9.995 => format!("{value:.2}{unit}"),
        _ if value < 99.95 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}

/// A number with its sign, in at most six characters: `+12.3k`, `-7`, `0`.
#[must_use]
pub fn signed(value: f64) -> String {
    match short(value.abs()) {
        zero if zero == "0" => zero,
        number if value < 0.0 => format!("-{number}"),
        number => format!("+{number}"),
    }
}

/// A rate that may not be known: there was no sample before, or the count began anew.
#[must_use]
pub fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), short)
}

/// A share of a whole, in per cent; of nothing there are no shares.
#[must_use]
pub fn percent(part: f64, whole: f64) -> String {
    if whole <= 0.0 {
        return "-".to_owned();
    }
    let share = 100.0 * part / whole;
    if share >= 99.95 { format!("{share:.0}%") } else { format!("{share:.1}%") }
}

/// A length of time, with the two units that matter: `850 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`.
#[must_use]
pub fn duration(value: Duration) -> String {
    let seconds = value.as_secs();
    let two = |large: u64, unit: &str, small: u64, other: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {other}") }
    };
    match seconds {
        0 => format!("{} ms", value.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// One or many: `1 slot`, `3,290 slots`.
#[must_use]
pub fn several(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_right() {
        assert_eq!(
            [0, 7, 999, 1000, 16_381, 1_048_573].map(count),
            ["0", "7", "999", "1,000", "16,381", "1,048,573"]
        );
        let rates =
            [0.0, 0.004, 0.04, 0.3, 9.94, 9.96, 99.4, 999.4, 999.6, 12_345.0, 123_456.0, 9_996_000.0, 1e21];
        assert_eq!(
            rates.map(short),
            [
                "0", "0", "0.04", "0.3", "9.9", "10", "99", "999", "1.00k", "12.3k", "123k", "10.0M",
                "1000000P"
            ]
        );
        assert_eq!([12_345.0, -7.0, -0.001, 0.0].map(signed), ["+12.3k", "-7.0", "0", "0"]);
        assert_eq!(percent(1.0, 3.0), "33.3%");
        assert_eq!(percent(0.0, 0.0), "-");
    }

    #[test]
    fn times_are_told_in_two_units() {
        let told = [0.85, 12.0, 60.0, 200.0, 7500.0, 90_000.0].map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(told, ["850 ms", "12 s", "1 min", "3 min 20 s", "2 h 5 min", "1 d 1 h"]);
    }
}
