//! Points in time and durations as the admin API writes them.
//!
//! In: microseconds, or the date texts clients send. Out: `yyyy-MM-ddTHH:mm:ss.ffffffZ` and .NET's constant
//! (`c`) duration text. There is no clock here: callers say what "now" is.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use utoipa::ToSchema;

/// A point in time, UTC, with microsecond resolution, within the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-11-28T17:24:38.120000Z"))]
pub struct Timestamp(i64);

/// A signed duration with microsecond resolution; text form `[-][d.]hh:mm:ss[.fffffff]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, ToSchema)]
#[schema(value_type = String, examples("1.02:03:04.5000000"))]
pub struct Timespan(i64);

/// The text is not a date and time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("must be a date and time such as 2025-10-08T17:24:38.120000Z, but is {0:?}")]
pub struct TimestampError(String);

/// The text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("must be a duration such as 1.02:03:04.5000000, but is {0:?}")]
pub struct TimespanError(String);

const MICROS_PER_SECOND: u64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
const MICROS_PER_DAY: u64 = MICROS_PER_SECOND * SECONDS_PER_DAY;

// === Timestamp ===

impl Timestamp {
    /// 0001-01-01T00:00:00Z, the first instant of a four-digit year.
    const MIN_MICROS: i64 = -62_135_596_800_000_000;
    /// 9999-12-30T22:00:00Z, the last instant that `jiff` makes from microseconds.
    const MAX_MICROS: i64 = 253_402_207_200_000_000;

    /// The Unix epoch. Objects carry it until they are stamped with the time of their creation.
    pub const EPOCH: Self = Self(0);

    /// Microseconds since 1970-01-01T00:00:00Z; values outside the years 1 to 9999 become the nearest bound.
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN_MICROS {
            Self(Self::MIN_MICROS)
        } else if micros > Self::MAX_MICROS {
            Self(Self::MAX_MICROS)
        } else {
            Self(micros)
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Time passed since `earlier`; negative when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Timespan {
        Timespan(self.0 - earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = jiff::Timestamp::from_microsecond(self.0).map_err(|_| fmt::Error)?;
        let utc = Offset::UTC.to_datetime(instant);
        write!(
            formatter,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            utc.year(),
            utc.month(),
            utc.day(),
            utc.hour(),
            utc.minute(),
            utc.second(),
            utc.subsec_nanosecond() / 1000
        )
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Accepts RFC 3339 and its usual variants: an offset, no offset (UTC), no fraction, a space instead of `T`,
    /// a date alone. Digits beyond microseconds are cut off.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let trimmed = text.trim();
        let instant = trimmed.parse::<jiff::Timestamp>().or_else(|_| {
            let civil = trimmed.parse::<DateTime>()?;
            Offset::UTC.to_timestamp(civil)
        });
        let micros = instant.map_err(|_| TimestampError(text.to_owned()))?.as_microsecond();
        if (Self::MIN_MICROS..=Self::MAX_MICROS).contains(&micros) {
            Ok(Self(micros))
        } else {
            Err(TimestampError(text.to_owned()))
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

// === Timespan ===

impl Timespan {
    /// A duration of so many microseconds.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The duration in microseconds.
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timespan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.unsigned_abs();
        let days = micros / MICROS_PER_DAY;
        let seconds = micros / MICROS_PER_SECOND % SECONDS_PER_DAY;
        let fraction = micros % MICROS_PER_SECOND;
        if self.0 < 0 {
            formatter.write_str("-")?;
        }
        if days > 0 {
            write!(formatter, "{days}.")?;
        }
        write!(formatter, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if fraction > 0 {
            // .NET counts in ticks of 100 ns: seven digits, the last one always 0 here.
            write!(formatter, ".{fraction:06}0")?;
        }
        Ok(())
    }
}

impl FromStr for Timespan {
    type Err = TimespanError;

    fn from_str(text: &str) -> Result<Self, TimespanError> {
        parse_timespan(text.trim()).map(Self).ok_or_else(|| TimespanError(text.to_owned()))
    }
}

impl Serialize for Timespan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timespan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

fn parse_timespan(text: &str) -> Option<i64> {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (hours_text, after_hours) = rest.split_once(':')?;
    let (minutes_text, seconds_text) = after_hours.split_once(':')?;
    let (days_text, hours_text) = hours_text.split_once('.').unwrap_or(("0", hours_text));
    let (seconds_text, fraction_text) = seconds_text.split_once('.').unwrap_or((seconds_text, "0"));

    let days = digits(days_text, u64::MAX)?;
    let hours = digits(hours_text, 23)?;
    let minutes = digits(minutes_text, 59)?;
    let seconds = digits(seconds_text, 59)?;
    if fraction_text.len() > 7 {
        return None;
    }
    let ticks = digits(&format!("{fraction_text:0<7}"), u64::MAX)?;

    let day_seconds = hours * 3600 + minutes * 60 + seconds;
    let micros =
        days.checked_mul(MICROS_PER_DAY)?.checked_add(day_seconds * MICROS_PER_SECOND + ticks / 10)?;
    if negative { 0i64.checked_sub_unsigned(micros) } else { i64::try_from(micros).ok() }
}

fn digits(text: &str, largest: u64) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|value| *value <= largest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_epoch_prints_with_six_fraction_digits() {
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn usual_variants_of_a_date_are_the_same_instant() {
        let expected = Timestamp::from_micros(1_759_944_278_120_000);
        assert_eq!(expected.to_string(), "2025-10-08T17:24:38.120000Z");
        for text in [
            "2025-10-08T17:24:38.120000Z",
            "2025-10-08T17:24:38.12Z",
            "2025-10-08 17:24:38.12Z",
            "2025-10-08T17:24:38.1200009Z",
            "2025-10-08T19:24:38.12+02:00",
            "2025-10-08T17:24:38.12",
            "2025-10-08 17:24:38.120000",
            "  2025-10-08t17:24:38.12z ",
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        assert_eq!("2025-10-08".parse::<Timestamp>().unwrap().to_string(), "2025-10-08T00:00:00.000000Z");
        assert_eq!(
            "2025-10-08T17:24:38Z".parse::<Timestamp>().unwrap().to_string(),
            "2025-10-08T17:24:38.000000Z"
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "yesterday", "2025-13-01T00:00:00Z", "-000001-01-01T00:00:00Z", "12345"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn timespans_follow_the_constant_format() {
        let cases = [
            (0, "00:00:00"),
            (191_521_000, "00:03:11.5210000"),
            (86_400_000_000, "1.00:00:00"),
            (93_784_000_001, "1.02:03:04.0000010"),
            (-1_000_000, "-00:00:01"),
            (-90_000_000_000, "-1.01:00:00"),
        ];
        for (micros, text) in cases {
            assert_eq!(Timespan::from_micros(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Timespan::from_micros(micros)));
        }
        for text in ["", "1", "24:00:00", "00:60:00", "00:00:00.12345678", "x:00:00", "00:00"] {
            assert!(text.parse::<Timespan>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_timestamp_survives_its_text(micros in any::<i64>()) {
            let timestamp = Timestamp::from_micros(micros);
            let text = timestamp.to_string();
            prop_assert_eq!(text.len(), 27);
            prop_assert_eq!(text.parse(), Ok(timestamp));
        }

        #[test]
        fn a_timespan_survives_its_text(micros in any::<i64>()) {
            let timespan = Timespan::from_micros(micros);
            prop_assert_eq!(timespan.to_string().parse(), Ok(timespan));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Timestamp>();
            let _ = text.parse::<Timespan>();
        }
    }
}
