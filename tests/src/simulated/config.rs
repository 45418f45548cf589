//! What a simulated backend is started with.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::knobs::Knobs;
use super::library::ModelSpec;
use super::registry::Registry;

/// Which HTTP surface is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ApiFormat {
    /// As Ollama: `/api/*` and its `/v1/*` compatibility layer.
    #[default]
    Ollama,
    /// As vLLM: `/v1/*` and `/health`; `/api/*` is a 404 in JSON.
    Openai,
    /// As Ollama, with `/health` too.
    Both,
}

/// Everything a simulated backend starts with; a reset returns to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SimConfig {
    /// Where to listen; port 0 lets the OS choose, and the choice stays for the backend's life.
    pub listen: SocketAddr,
    /// A second listener which serves only `/__sim/` and stays up while the main one refuses or is stopped.
    pub control_listen: Option<SocketAddr>,
    /// The surface served.
    pub format: ApiFormat,
    /// Models installed at the start.
    pub models: Vec<ModelSpec>,
    /// Timing, text and limits.
    pub knobs: Knobs,
    /// Faults armed at the start.
    pub faults: Vec<Fault>,
    /// Seed of the dice thrown for faults with a probability.
    pub seed: u64,
    /// What models are pulled from; backends which are given the same one share its models, versions and faults. Each has
    /// its own otherwise.
    #[serde(skip)]
    pub registry: Registry,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            control_listen: None,
            format: ApiFormat::Ollama,
            models: Vec::new(),
            knobs: Knobs::default(),
            faults: Vec::new(),
            seed: 7,
            registry: Registry::default(),
        }
    }
}

impl SimConfig {
    /// An Ollama with these models installed, on a port of the OS's choice.
    pub fn ollama<M: Into<String>>(models: impl IntoIterator<Item = M>) -> Self {
        let models = models.into_iter().map(|name| ModelSpec::named(name)).collect();
        Self { models, ..Self::default() }
    }

    /// An `OpenAI`-compatible engine which serves these models.
    pub fn openai<M: Into<String>>(models: impl IntoIterator<Item = M>) -> Self {
        Self { format: ApiFormat::Openai, ..Self::ollama(models) }
    }

    /// The same with other knobs.
    #[must_use]
    pub fn with_knobs(mut self, change: impl FnOnce(&mut Knobs)) -> Self {
        change(&mut self.knobs);
        self
    }

    /// The same with models pulled from this registry.
    #[must_use]
    pub fn with_registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The same with one more fault armed from the start.
    #[must_use]
    pub fn with_fault(mut self, fault: impl Into<Fault>) -> Self {
        self.faults.push(fault.into());
        self
    }
}
