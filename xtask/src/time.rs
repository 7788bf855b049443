//! Times as they are given to commands.

/// The seconds of `90`, `90s`, `10m` or `2h`.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let times = match unit {
        "m" => 60,
        "h" => 3600,
        _ => 1,
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(times));
    seconds.ok_or_else(|| format!("{text} is not a time such as 90s, 10m or 2h"))
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_have_units() {
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("2h"), Ok(7200));
        for text in ["", "m", "-1", "1d", "1.5m", "18446744073709551615h"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
