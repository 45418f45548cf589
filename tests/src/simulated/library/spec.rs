//! What there is to say of a model.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A model, as a registry publishes it and a backend has it installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelSpec {
    /// The name, as listed; `:latest` is added when there is no tag.
    pub name: String,
    /// Bytes on disk and in memory.
    pub size: u64,
    /// The family, such as `llama`.
    pub family: String,
    /// Parameters, as text.
    pub parameter_size: String,
    /// Quantisation.
    pub quantization_level: String,
    /// What it can do: `completion`, `tools`, `thinking`, `embedding`, ...
    pub capabilities: Vec<String>,
    /// Which of the versions that were published under the name: each has other weights, and so another digest.
    pub version: u64,
    /// Layers that the weights are cut into, at least one.
    pub weight_layers: u64,
}

impl Default for ModelSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            size: 5_793_715,
            family: "llama".to_owned(),
            parameter_size: "1.45M".to_owned(),
            quantization_level: "F32".to_owned(),
            capabilities: ["completion", "tools", "embedding"].map(str::to_owned).to_vec(),
            version: 1,
            weight_layers: 1,
        }
    }
}

impl ModelSpec {
    /// A small model which can chat and embed.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The same with exactly these capabilities.
    #[must_use]
    pub fn with_capabilities<C: Into<String>>(mut self, capabilities: impl IntoIterator<Item = C>) -> Self {
        self.capabilities = capabilities.into_iter().map(Into::into).collect();
        self
    }

    /// The same with so many bytes, cut into so many layers.
    #[must_use]
    pub fn with_size(self, size: u64, weight_layers: u64) -> Self {
        Self { size, weight_layers, ..self }
    }

    /// The same in another version.
    #[must_use]
    pub fn in_version(self, version: u64) -> Self {
        Self { version, ..self }
    }

    /// Whether it can do this.
    pub(in crate::simulated) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|have| have == capability)
    }

    pub(in crate::simulated) fn details(&self) -> Value {
        json!({
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameter_size,
            "quantization_level": self.quantization_level,
        })
    }
}

impl From<&str> for ModelSpec {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}
