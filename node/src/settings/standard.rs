//! Variables that OpenTelemetry has a meaning for in every program. They stand between the file and our own variables.
//!
//! See the specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter". Traces are sent by HTTP and
//! protobuf only, so `OTEL_EXPORTER_OTLP_PROTOCOL` is not looked at.

use std::ffi::OsString;

use ollamaflow_protocol::object::JsonPath;
use serde_json::{Map, Value};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const DISABLED: &str = "OTEL_SDK_DISABLED";

/// What they set: name, setting and value. Nothing if they say that nothing is to be sent.
pub(super) fn variables(environment: &[(OsString, OsString)]) -> Vec<(&'static str, JsonPath, Value)> {
    let get = |wanted: &str| {
        let mut texts = environment.iter().filter(|(name, _)| name == wanted);
        texts.find_map(|(_, value)| value.to_str()).map(str::trim).filter(|text| !text.is_empty())
    };
    let setting = |name: &str| JsonPath::root().property("Tracing").property(name);
    let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, get(name)?)));
    let is_disabled = get(DISABLED).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if is_disabled || get(EXPORTER).is_some_and(|exporter| exporter != "otlp") {
        return Vec::new();
    }
    let mut found = Vec::new();
    if let Some((name, endpoint)) = first([TRACES_ENDPOINT, ENDPOINT]) {
        found.push((name, setting("Endpoint"), endpoint.into()));
    }
    if let Some((name, headers)) = first([TRACES_HEADERS, HEADERS]) {
        found.push((name, setting("Headers"), Value::Object(pairs(headers))));
    }
    if let Some(service) = get(SERVICE_NAME) {
        found.push((SERVICE_NAME, setting("ServiceName"), service.into()));
    }
    match get(SAMPLER) {
        Some("traceidratio" | "parentbased_traceidratio") => {
            if let Some(ratio) = get(SAMPLER_ARGUMENT) {
                found.push((SAMPLER_ARGUMENT, setting("SamplingRatio"), ratio.into()));
            }
        }
        Some("always_off" | "parentbased_always_off") => {
            found.push((SAMPLER, setting("SamplingRatio"), 0.into()));
        }
        Some("always_on" | "parentbased_always_on") => {
            found.push((SAMPLER, setting("SamplingRatio"), 1.into()));
        }
        _ => {}
    }
    found
}

/// `name=value,name=value`, the values percent-encoded (W3C Baggage without its properties).
fn pairs(text: &str) -> Map<String, Value> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), decoded(value.trim()).into())).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digits =
            behind.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(variables: &[(&str, &str)]) -> Vec<(String, Value)> {
        let environment: Vec<_> =
            variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        let found = super::variables(&environment);
        found.into_iter().map(|(_, path, value)| (path.to_string(), value)).collect()
    }

    #[test]
    fn those_of_traces_count_before_those_of_all_signals() {
        let base = [(ENDPOINT, "http://all:4318"), (SERVICE_NAME, "models"), (HEADERS, "a=b%20c, d = e=f")];
        assert_eq!(
            set(&base),
            [
                ("Tracing.Endpoint".to_owned(), json!("http://all:4318")),
                ("Tracing.Headers".to_owned(), json!({ "a": "b c", "d": "e=f" })),
                ("Tracing.ServiceName".to_owned(), json!("models")),
            ]
        );
        let both = [base[0], (TRACES_ENDPOINT, "http://traces/v1/traces")];
        assert_eq!(set(&both), [("Tracing.Endpoint".to_owned(), json!("http://traces/v1/traces"))]);
    }

    #[test]
    fn what_is_switched_off_sets_nothing() {
        let endpoint = (ENDPOINT, "http://c:4318");
        assert_eq!(set(&[endpoint, (DISABLED, "TRUE")]), []);
        assert_eq!(set(&[endpoint, (EXPORTER, "none")]), []);
        assert_eq!(set(&[endpoint, (EXPORTER, "otlp")]).len(), 1);
        assert_eq!(set(&[(ENDPOINT, "")]), []);
    }

    #[test]
    fn samplers_become_a_ratio() {
        let ratio = |value| [("Tracing.SamplingRatio".to_owned(), value)];
        let by = |sampler| set(&[(SAMPLER, sampler), (SAMPLER_ARGUMENT, "0.1")]);
        assert_eq!(by("parentbased_traceidratio"), ratio(json!("0.1")));
        assert_eq!(by("always_off"), ratio(json!(0)));
        assert_eq!(by("parentbased_always_on"), ratio(json!(1)));
        assert_eq!(by("jaeger_remote"), []);
    }
}
