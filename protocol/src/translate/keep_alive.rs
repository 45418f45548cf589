//! Ollama's `keep_alive`: how long a model stays in memory after a request.

use serde_json::Value;

use super::number::truncated;

/// For ever: what Ollama makes of every negative value.
pub(super) const FOREVER: i64 = i64::MAX;

/// The value in nanoseconds: a number is seconds, a text a duration with its units, as Go writes it (`1h30m`). `None`
/// for everything else, texts without a unit included (`api/types.go`, `Duration.UnmarshalJSON`).
pub(crate) fn nanoseconds(value: &Value) -> Option<i64> {
    let nanoseconds = match value {
        Value::Number(seconds) => truncated(seconds.as_f64()? * 1e9),
        Value::String(text) => parse(text)?,
        _ => return None,
    };
    Some(if nanoseconds < 0 { FOREVER } else { nanoseconds })
}

/// Reads a duration as Go's `time.ParseDuration` does.
fn parse(text: &str) -> Option<i64> {
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let (part, behind) = parse_part(rest)?;
        total = total.checked_add(part)?;
        rest = behind;
    }
    Some(if is_negative { -total } else { total })
}

/// The first number with its unit in nanoseconds, and what is behind it.
fn parse_part(text: &str) -> Option<(i64, &str)> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (unit, rest) =
        rest.split_at(rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len()));
    let unit = nanoseconds_of(unit)?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i64>().ok()? };
    Some((whole.checked_mul(unit)?.checked_add(share(fraction, unit)?)?, rest))
}

/// `0.fraction` of a unit.
fn share(fraction: &str, unit: i64) -> Option<i64> {
    // Of an hour, the longest unit, the 14th digit is less than a nanosecond.
    let digits = fraction.get(..14).unwrap_or(fraction);
    if digits.is_empty() {
        return Some(0);
    }
    let scale = 10_i128.pow(u32::try_from(digits.len()).ok()?);
    i64::try_from(digits.parse::<i128>().ok()? * i128::from(unit) / scale).ok()
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn nanoseconds_of(unit: &str) -> Option<i64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn numbers_are_seconds_and_texts_are_durations_with_units() {
        for (value, expected) in [
            (json!(0), 0),
            (json!(0.0), 0),
            (json!(300), 300 * SECOND),
            (json!(1.5), 1_500_000_000),
            (json!(1e300), FOREVER),
            (json!("0"), 0),
            (json!("-0"), 0),
            (json!("0s"), 0),
            (json!("300ms"), 300_000_000),
            (json!("5m"), 300 * SECOND),
            (json!("+1h30m"), 5400 * SECOND),
            (json!("1.5h"), 5400 * SECOND),
            (json!(".5s"), SECOND / 2),
            (json!("1.s"), SECOND),
            (json!("2us3\u{b5}s4\u{3bc}s5ns"), 9_005),
            (json!("0.00000000000001h"), 0),
            (json!("0.3333333333333333333333s"), 333_333_333),
        ] {
            assert_eq!(nanoseconds(&value), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_is_negative_is_for_ever() {
        for value in
            [json!(-1), json!(-0.1), json!("-1s"), json!("-1h30m"), json!("2562047h47m16.854775807s")]
        {
            assert_eq!(nanoseconds(&value), Some(FOREVER), "{value}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for value in [
            json!("300"),
            json!("-1"),
            json!(""),
            json!("-"),
            json!("."),
            json!(".s"),
            json!("s"),
            json!("5 m"),
            json!("1d"),
            json!("5m3"),
            json!("1e3s"),
            json!("9223372036854775808ns"),
            json!("2562048h"),
            json!(true),
            json!([]),
            json!({}),
        ] {
            assert_eq!(nanoseconds(&value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_the_sum_of_its_parts(
            hours in 0..1_000_i64,
            minutes in 0..10_000_i64,
            millis in 0..10_000_000_i64,
        ) {
            let text = format!("{hours}h{minutes}m{}.{:03}s", millis / 1000, millis % 1000);
            let expected = (hours * 3600 + minutes * 60) * SECOND + millis * 1_000_000;
            prop_assert_eq!(nanoseconds(&json!(text)), Some(expected));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-+]?([0-9.]{0,20}(h|m|s|ms|\u{b5}s|\\PC)?){0,3}") {
            prop_assert!(nanoseconds(&json!(text)).is_none_or(|nanoseconds| nanoseconds >= 0));
        }
    }
}
