//! What virtual keys have used: counted by key, model and day, on each node, and added up for the cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use utoipa::ToSchema;

use crate::time::Timestamp;

/// Stands for models that have no row of their own, and for requests that name none.
pub const OTHER: &str = "other";

/// A day, in UTC: days since 1970-01-01. As text `2026-01-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = Date, examples("2026-01-31"))]
pub struct Day(i32);

/// The text is no day.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("must be a day such as 2026-01-31, but is {0:?}")]
pub struct DayError(String);

/// What was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Counts {
    /// Requests that were let in, however they ended.
    pub requests: u64,
    /// Those of them that ended in an error.
    pub errors: u64,
    /// Tokens of prompts, as far as backends have told.
    pub prompt_tokens: u64,
    /// Tokens of answers, as far as backends have told.
    pub completion_tokens: u64,
}

/// What one key has used of one model on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UsageRow {
    /// The day.
    pub day: Day,
    /// The identifier of the key, which may be gone.
    pub key: String,
    /// The model, as clients named it, in its canonical spelling without `:latest`; or `other`.
    pub model: String,
    /// How much.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Which rows are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UsageFilter {
    /// Those of this key only.
    pub key: Option<String>,
    /// Those of this model only, in whichever spelling.
    pub model: Option<String>,
    /// From this day on.
    pub from: Day,
    /// Up to this day.
    pub to: Day,
}

/// The rows of one node, or of many. The newest days come first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UsageRows {
    /// The rows.
    pub rows: Vec<UsageRow>,
    /// Whether there are more than were given; the oldest are missing then.
    pub truncated: bool,
}

// === Day ===

impl Day {
    const MICROS: i64 = 86_400_000_000;

    /// The day of a point in time.
    pub fn of(at: Timestamp) -> Self {
        // Within the years that a timestamp may have.
        Self(i32::try_from(at.as_micros().div_euclid(Self::MICROS)).unwrap_or_default())
    }

    /// So many days before; negative for after.
    #[must_use]
    pub fn before(self, days: i32) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = Timestamp::from_micros(i64::from(self.0) * Self::MICROS).to_string();
        formatter.write_str(start.get(..10).unwrap_or(&start))
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let day = text.parse().map(Self::of).map_err(|_| DayError(text.to_owned()))?;
        // A time of that day is more than a day.
        if day.to_string() == text { Ok(day) } else { Err(DayError(text.to_owned())) }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

// === Counts ===

impl Counts {
    /// Adds these.
    pub fn add(&mut self, more: &Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.errors = self.errors.saturating_add(more.errors);
        self.prompt_tokens = self.prompt_tokens.saturating_add(more.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(more.completion_tokens);
    }
}

// === UsageFilter ===

impl UsageFilter {
    /// Whether a row of that day is wanted.
    pub fn has_day(&self, day: Day) -> bool {
        (self.from..=self.to).contains(&day)
    }

    /// Whether a row of this key and model is wanted.
    pub fn has(&self, key: &str, model: &str) -> bool {
        self.key.as_deref().is_none_or(|wanted| wanted == key)
            && self.model.as_deref().is_none_or(|wanted| model_row(wanted) == model)
    }
}

/// By which name the usage of a model is counted: `llama3`, however the client has written it.
pub fn model_row(name: &str) -> String {
    let canonical = crate::model::canonical(name);
    match canonical.strip_suffix(":latest") {
        Some(short) => short.to_owned(),
        None => canonical,
    }
}

/// Adds up what nodes have counted. `limit` is the most rows that are given.
pub fn together(nodes: impl IntoIterator<Item = UsageRows>, limit: usize) -> UsageRows {
    let mut truncated = false;
    let mut sums: BTreeMap<(std::cmp::Reverse<Day>, String, String), Counts> = BTreeMap::new();
    for node in nodes {
        truncated |= node.truncated;
        for UsageRow { day, key, model, counts } in node.rows {
            sums.entry((std::cmp::Reverse(day), key, model)).or_default().add(&counts);
        }
    }
    truncated |= sums.len() > limit;
    let row = |((std::cmp::Reverse(day), key, model), counts)| UsageRow { day, key, model, counts };
    UsageRows { rows: sums.into_iter().take(limit).map(row).collect(), truncated }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(day: &str, key: &str, model: &str, requests: u64) -> UsageRow {
        let counts = Counts { requests, ..Counts::default() };
        UsageRow { day: day.parse().unwrap(), key: key.to_owned(), model: model.to_owned(), counts }
    }

    #[test]
    fn a_day_is_that_of_utc() {
        let at: Timestamp = "2026-02-28T23:59:59.999999Z".parse().unwrap();
        let day = Day::of(at);
        assert_eq!(day.to_string(), "2026-02-28");
        assert_eq!(day.before(-1).to_string(), "2026-03-01");
        assert_eq!("2026-02-28".parse(), Ok(day));
        assert_eq!(Day::of(Timestamp::from_micros(-1)).to_string(), "1969-12-31");
        for bad in ["", "2026-02-30", "2026-02-28T10:00:00Z", "today", "20260228"] {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
    }

    #[test]
    fn rows_of_nodes_are_added_and_the_newest_come_first() {
        let one = UsageRows { rows: vec![row("2026-01-01", "k", "m", 1)], truncated: false };
        let rows = vec![row("2026-01-02", "k", "m", 5), row("2026-01-01", "k", "m", 2)];
        let other = UsageRows { rows, truncated: false };
        let all = together([one.clone(), other], 9);
        assert_eq!(all.rows, [row("2026-01-02", "k", "m", 5), row("2026-01-01", "k", "m", 3)]);
        assert!(!all.truncated);
        assert!(together([all], 1).truncated);
        assert!(together([UsageRows { truncated: true, ..one }], 9).truncated);
    }

    #[test]
    fn a_filter_takes_models_in_every_spelling() {
        let day: Day = "2026-01-01".parse().unwrap();
        let filter = UsageFilter {
            key: Some("k".to_owned()),
            model: Some("LLAMA3:latest".to_owned()),
            from: day,
            to: day,
        };
        assert!(filter.has_day(day) && !filter.has_day(day.before(1)));
        assert!(filter.has("k", "llama3") && !filter.has("k2", "llama3") && !filter.has("k", "llama3:1b"));
        assert_eq!(model_row("Llama3:70B"), "llama3:70b");
    }

    #[test]
    fn a_row_is_one_flat_object() {
        let text = serde_json::to_string(&row("2026-01-01", "k", "m", 1)).unwrap();
        let expected = r#"{"Day":"2026-01-01","Key":"k","Model":"m","Requests":1,"Errors":0,"PromptTokens":0,"CompletionTokens":0}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<UsageRow>(&text).unwrap(), row("2026-01-01", "k", "m", 1));
    }
}
