//! The named choices that objects offer. The order of the variants is the integer that older clients send.

use serde::{Deserialize, Deserializer, Serialize, de};

/// The API a backend speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum ApiFormat {
    /// Ollama's own API.
    #[default]
    Ollama,
    /// The API of `OpenAI`, as served by vLLM, llama.cpp and others.
    OpenAI,
    /// Not stated: such a backend serves no inference request.
    Unknown,
}

/// How a frontend chooses among its available backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum LoadBalancing {
    /// Any of them, with equal probability.
    Random,
    /// One after the other.
    #[default]
    RoundRobin,
}

/// The method of a health check. An empty text means [`HealthCheckMethod::Get`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthCheckMethod {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`
    Head,
}

// === ApiFormat ===

impl std::fmt::Display for ApiFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ollama => "Ollama",
            Self::OpenAI => "OpenAI",
            Self::Unknown => "Unknown",
        })
    }
}

// === HealthCheckMethod ===

impl HealthCheckMethod {
    /// The method as it stands in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

impl<'de> Deserialize<'de> for HealthCheckMethod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        [Self::Get, Self::Head]
            .into_iter()
            .find(|method| method.as_str().eq_ignore_ascii_case(&text))
            .ok_or_else(|| de::Error::unknown_variant(&text, &["GET", "HEAD"]))
    }
}
