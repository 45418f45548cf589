//! Settings of traces: whether spans are sent, where to, and how many.

use std::collections::BTreeMap;
use std::time::Duration;

use ollamaflow_protocol::object::Secret;
use ollamaflow_protocol::object::validate::{between, is_header_name, is_header_value, non_empty};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use url::Url;

/// What OTLP over HTTP has behind the collector's own path (OTLP specification 1.x, "OTLP/HTTP Request").
const TRACES_PATH: &str = "/v1/traces";

/// Traces, sent as OTLP (HTTP and protobuf).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tracing {
    /// The URL of a collector, such as `http://localhost:4318`; none for no traces.
    #[serde(deserialize_with = "endpoint")]
    pub endpoint: Option<String>,
    /// Headers that the collector wants, such as keys.
    #[serde(deserialize_with = "headers")]
    pub headers: BTreeMap<String, Secret>,
    /// How many of the requests that bring no trace of their own get one: from 0 for none to 1 for all. Those that bring one are
    /// recorded if it says so.
    #[serde(deserialize_with = "ratio")]
    pub sampling_ratio: f64,
    /// The name of this service.
    #[serde(deserialize_with = "non_empty")]
    pub service_name: String,
    /// Requests whose spans may wait to be sent; those of more are lost, and counted.
    #[serde(deserialize_with = "between::<1, 1_000_000, _, _>")]
    pub queue_length: u32,
    /// Longest wait for the collector, in milliseconds.
    #[serde(deserialize_with = "between::<1, 600_000, _, _>")]
    pub timeout_ms: u32,
}

// === Tracing ===

impl Tracing {
    /// Where spans are sent to, with the path; none if they are not.
    pub fn url(&self) -> Option<String> {
        let endpoint = self.endpoint.as_deref()?.trim_end_matches('/');
        let has_path = endpoint.ends_with(TRACES_PATH);
        Some(if has_path { endpoint.to_owned() } else { format!("{endpoint}{TRACES_PATH}") })
    }

    /// Longest wait for the collector.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }
}

impl Default for Tracing {
    fn default() -> Self {
        Self {
            endpoint: None,
            headers: BTreeMap::new(),
            sampling_ratio: 1.0,
            service_name: "ollamaflow".to_owned(),
            queue_length: 4096,
            timeout_ms: 10_000,
        }
    }
}

// === rules ===

/// A URL without a query; an empty text is absent.
fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)?.filter(|text| !text.trim().is_empty())
    else {
        return Ok(None);
    };
    let text = text.trim();
    // A password in it would be shown wherever settings are: it belongs into a header.
    let is_usable = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    match Url::parse(text) {
        Ok(url) if is_usable(&url) => Ok(Some(text.to_owned())),
        _ => Err(Error::custom(
            "must be a URL such as http://localhost:4318, without user name, query and fragment",
        )),
    }
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Secret>, D::Error> {
    let headers = BTreeMap::<String, Secret>::deserialize(deserializer)?;
    for (name, value) in &headers {
        if !is_header_name(name) {
            return Err(Error::custom(format_args!("must have HTTP header names as keys, but has {name:?}")));
        }
        if !is_header_value(value.expose()) {
            return Err(Error::custom(format_args!("has a control character in the value of {name:?}")));
        }
    }
    Ok(headers)
}

/// A number from 0 to 1, or the text of one: variables are texts.
fn ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| Error::custom("must be a number from 0 to 1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Tracing, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn the_path_of_otlp_is_added_once() {
        for (endpoint, url) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("https://c/otlp", "https://c/otlp/v1/traces"),
            ("http://c:4318/v1/traces", "http://c:4318/v1/traces"),
        ] {
            assert_eq!(read(json!({ "Endpoint": endpoint })).unwrap().url().as_deref(), Some(url));
        }
        assert_eq!(Tracing::default().url(), None);
        assert_eq!(read(json!({ "Endpoint": " " })).unwrap().url(), None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for endpoint in ["localhost:4318", "grpc://c:4317", "http://", "http://u:p@c", "http://c?key=1"] {
            assert!(read(json!({ "Endpoint": endpoint })).is_err(), "{endpoint}");
        }
        for ratio in [json!(-0.1), json!(1.5), json!("half"), json!(null)] {
            assert!(read(json!({ "SamplingRatio": ratio })).is_err(), "{ratio}");
        }
        assert!(
            (read(json!({ "SamplingRatio": "0.25" })).unwrap().sampling_ratio - 0.25).abs() < f64::EPSILON
        );
        assert!(read(json!({ "Headers": { "bad name": "v" } })).is_err());
        assert!(read(json!({ "Headers": { "name": "line\nbreak" } })).is_err());
    }
}
