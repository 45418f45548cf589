//! Frontends and backends as they stand in the settings file and in admin requests: builders over JSON, so that a test can
//! set any property, right or wrong.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

/// A frontend for the settings file.
#[derive(Debug, Clone)]
pub struct Frontend(Map<String, Value>);

/// A backend for the settings file.
#[derive(Debug, Clone)]
pub struct Backend(Map<String, Value>);

/// A frontend for any host, without backends.
pub fn frontend(identifier: &str) -> Frontend {
    Frontend(Map::new()).set("Identifier", identifier).set("Name", identifier).hostname("*")
}

/// A backend at an address; simulated backends are addresses too.
pub fn backend(identifier: &str, target: impl Into<SocketAddr>) -> Backend {
    let target = target.into();
    Backend(Map::new())
        .set("Identifier", identifier)
        .set("Name", identifier)
        .set("Hostname", target.ip().to_string())
        .set("Port", target.port())
}

impl Frontend {
    /// The host it answers to.
    #[must_use]
    pub fn hostname(self, hostname: &str) -> Self {
        self.set("Hostname", hostname)
    }

    /// Its backends, by identifier and in order.
    #[must_use]
    pub fn backends<'i>(self, identifiers: impl IntoIterator<Item = &'i str>) -> Self {
        let identifiers: Vec<_> = identifiers.into_iter().collect();
        self.set("Backends", json!(identifiers))
    }

    /// Any property.
    #[must_use]
    pub fn set(mut self, property: &str, value: impl Into<Value>) -> Self {
        self.0.insert(property.to_owned(), value.into());
        self
    }

    /// Its identifier.
    pub fn identifier(&self) -> &str {
        self.0.get("Identifier").and_then(Value::as_str).unwrap_or_default()
    }

    /// As JSON, for the admin API.
    pub fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}

impl Backend {
    /// An `OpenAI`-compatible engine, with the health path of such.
    #[must_use]
    pub fn openai(self) -> Self {
        self.set("ApiFormat", "OpenAI").set("HealthCheckUrl", "/health")
    }

    /// Any property.
    #[must_use]
    pub fn set(mut self, property: &str, value: impl Into<Value>) -> Self {
        self.0.insert(property.to_owned(), value.into());
        self
    }

    /// Its identifier.
    pub fn identifier(&self) -> &str {
        self.0.get("Identifier").and_then(Value::as_str).unwrap_or_default()
    }

    /// As JSON, for the admin API.
    pub fn json(&self) -> Value {
        Value::Object(self.0.clone())
    }
}
