//! `OllamaFlow` with one frontend and one backend whose health is checked, and limits no scenario reaches. Nothing is
//! switched off: routing, health checks and accounting run as they always do.

use serde_json::json;

use super::{Logs, Site};
use crate::load::request::Api;

/// What the line on standard output begins with; the address follows.
pub(super) const READY: &str = "listening on http://";
/// Where the backends' health is reported.
pub(super) const HEALTH_PATH: &str = "/v1.0/backends/health";
/// The administrator's token in the configuration.
pub(super) const ADMIN_AUTHORIZATION: &str = "Bearer bench";

/// A rate no scenario comes near.
const UNLIMITED: u32 = 1_000_000_000;

/// The text of the settings file.
pub(super) fn config(site: &Site, port: u16) -> String {
    let (format, health) = match site.api {
        Api::Ollama => ("Ollama", "/"),
        Api::Openai => ("OpenAI", "/health"),
    };
    let mut settings = json!({
        "Webserver": {
            "Hostname": "127.0.0.1",
            "Port": port,
            "Workers": site.workers,
            "IO": { "MaxRequests": site.max_connections },
        },
        "AdminBearerTokens": ["bench"],
        "Frontends": [{ "Identifier": "f", "Hostname": "*", "Backends": ["b"], "TimeoutMs": 0 }],
        "Backends": [{
            "Identifier": "b",
            "Hostname": site.upstream.ip().to_string(),
            "Port": site.upstream.port(),
            "ApiFormat": format,
            "HealthCheckUrl": health,
            "MaxParallelRequests": site.max_connections,
            "RateLimitRequestsThreshold": UNLIMITED,
            // The misbehaving upstream is to be asked again and again: an open circuit would answer for it.
            "CircuitBreakerErrorPercent": 0,
            "CircuitBreakerConnectFailures": 0,
        }],
    });
    match site.logs {
        Logs::Plain | Logs::On => {}
        Logs::OneSink => settings["Logging"] = json!({ "ConsoleLogging": false, "Servers": [] }),
        Logs::Off => settings["Logging"] = json!({ "AccessLog": false }),
    }
    settings.to_string()
}

/// Whether the health report says that a backend is healthy.
pub(super) fn is_healthy(report: &[u8]) -> bool {
    serde_json::from_slice(report).is_ok_and(|report| has_healthy_since(&report))
}

fn has_healthy_since(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| (name == "HealthySinceUtc" && !value.is_null()) || has_healthy_since(value)),
        serde_json::Value::Array(items) => items.iter().any(has_healthy_since),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_healthy_once_it_says_since_when() {
        assert!(is_healthy(br#"[{"Identifier":"b","HealthySinceUtc":"2026-01-01T00:00:00.000000Z"}]"#));
        assert!(!is_healthy(br#"[{"Identifier":"b","HealthySinceUtc":null}]"#));
        assert!(!is_healthy(br#"[{"Identifier":"b","UnhealthySinceUtc":"2026-01-01T00:00:00.000000Z"}]"#));
        assert!(!is_healthy(b"not json"));
    }
}
