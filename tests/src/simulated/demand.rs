//! What a request needs of the engine, read from its body: the options a model is loaded with, how long it is kept. Pure.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::Refusal;
use super::inference::Fields;
use super::scheduler::{KeepAlive, RunnerOptions};

/// The options of a runner besides `num_ctx`, with what they are when nobody names them: a request which names the default
/// needs no other runner.
const OTHER_OPTIONS: [(&str, Option<i64>); 6] = [
    ("num_batch", Some(512)),
    ("num_gpu", Some(-1)),
    ("main_gpu", Some(0)),
    ("use_mmap", None),
    ("num_thread", Some(0)),
    ("draft_num_predict", Some(0)),
];

/// The options by which a loaded model is told from the same model loaded otherwise: seven of `options`, and the `shift` of
/// the request itself.
pub(super) fn runner_options(fields: &Fields, context_length: u64) -> RunnerOptions {
    let option = |(name, default): (&str, Option<i64>)| {
        fields.option(name).cloned().unwrap_or_else(|| default.map_or(Value::Null, Value::from))
    };
    let mut others: Vec<Value> = OTHER_OPTIONS.into_iter().map(option).collect();
    others.push(fields.get("shift").cloned().unwrap_or(json!(true)));
    let num_ctx = fields.option("num_ctx").and_then(Value::as_u64).unwrap_or(context_length);
    RunnerOptions { num_ctx, others }
}

/// `keep_alive`: seconds or a Go duration.
pub(super) fn keep_alive(fields: &Fields) -> Result<Option<KeepAlive>, Refusal> {
    let Some(value) = fields.get("keep_alive") else { return Ok(None) };
    let seconds = value.as_f64().or_else(|| value.as_str().and_then(go_duration));
    let seconds = seconds.ok_or_else(|| Refusal::new(400, format!("invalid keep_alive {value}")))?;
    Ok(Some(Duration::try_from_secs_f64(seconds).map_or(KeepAlive::Forever, KeepAlive::For)))
}

/// That of a knob: negative is for ever.
pub(super) fn keep_alive_seconds(seconds: i64) -> KeepAlive {
    u64::try_from(seconds).map_or(KeepAlive::Forever, |seconds| KeepAlive::For(Duration::from_secs(seconds)))
}

/// Seconds of a Go duration such as `1h30m` or `-1m`; nothing when it is none.
fn go_duration(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut seconds = None;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_length = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_length);
        let unit_seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds = Some(seconds.unwrap_or(0.0) + number.parse::<f64>().ok()? * unit_seconds);
        rest = tail;
    }
    seconds.map(|seconds| sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn keep_alive_takes_what_go_takes() {
        let of = |json: &str| keep_alive(&fields(&format!("{{\"keep_alive\":{json}}}")));
        assert_eq!(of("\"1m30s\"").unwrap(), Some(KeepAlive::For(Duration::from_secs(90))));
        assert_eq!(of("0").unwrap(), Some(KeepAlive::For(Duration::ZERO)));
        assert_eq!(of("-1").unwrap(), Some(KeepAlive::Forever));
        assert_eq!(of("\"-1m\"").unwrap(), Some(KeepAlive::Forever));
        assert_eq!(of("null").unwrap(), None);
        for bad in ["\"300\"", "\"-1\"", "\"\"", "true"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_runner_option_makes_another_runner_unless_it_names_the_default() {
        let usual = runner_options(&fields("{}"), 4096);
        for same in [
            r#"{"options":{"num_ctx":4096,"num_batch":512,"num_gpu":-1,"num_thread":0}}"#,
            r#"{"options":{"temperature":0},"shift":true}"#,
        ] {
            assert_eq!(runner_options(&fields(same), 4096), usual, "{same}");
        }
        for other in [
            r#"{"options":{"num_ctx":8192}}"#,
            r#"{"options":{"num_batch":256}}"#,
            r#"{"options":{"num_gpu":1}}"#,
            r#"{"options":{"main_gpu":1}}"#,
            r#"{"options":{"use_mmap":false}}"#,
            r#"{"options":{"num_thread":4}}"#,
            r#"{"options":{"draft_num_predict":2}}"#,
            r#"{"shift":false}"#,
        ] {
            assert_ne!(runner_options(&fields(other), 4096), usual, "{other}");
        }
    }
}
