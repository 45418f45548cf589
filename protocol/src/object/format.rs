//! The named choices that objects offer. The order of the variants is the integer that older clients send.

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

/// The API a backend speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
pub enum LoadBalancing {
    /// Any of them, with equal probability.
    Random,
    /// One after the other. For equal backends and requests of about equal cost.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight for its `MaxParallelRequests`. For requests of very unequal cost.
    LeastConnections,
    /// One after the other, each as often as its `Weight` says. For backends of known, unequal speed.
    Weighted,
    /// The faster of two random ones, by its recent times to the first token. For backends whose speed varies.
    LeastLatency,
    /// One that has the model in memory with the same runner options, before one that would have to load it. For
    /// more models than fit into memory.
    ModelAffinity,
    /// The one that has served the same conversation, found by hashing its beginning. For engines that cache
    /// prefixes.
    PrefixAffinity,
}

/// Whether a backend takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
pub enum BackendState {
    /// It does.
    #[default]
    Active,
    /// It finishes what it has, and takes nothing new.
    Draining,
    /// It takes no part: no requests, no probes.
    Disabled,
}

/// The method of a health check. An empty text means `GET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, ToSchema)]
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
