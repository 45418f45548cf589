//! A backend as its actor publishes it: read by every request, replaced as a whole.

use std::sync::Arc;

use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::models::inventory::{CapabilityCache, Disk, Memory};
use ollamaflow_protocol::object::Backend;
use ollamaflow_protocol::route::Kind;
use ollamaflow_protocol::time::Timestamp;
use ollamaflow_protocol::translate::Version;
use serde_json::{Map, Value};

use super::capabilities::{Claim, KnownCapabilities};
use super::health::HealthView;
use super::inventory::Inventory;
use super::tls::target_of;
use crate::clock::now;
use crate::upstream::{Target, TargetError, TlsError};

/// A backend at one moment.
#[derive(Clone, Debug)]
pub struct BackendView {
    /// Its configuration.
    pub config: Arc<Backend>,
    /// Whether requests may go there.
    pub health: HealthView,
    /// Whether probes have found out about its health yet.
    pub has_verdict: bool,
    /// Which Ollama it is; `None` until that was read, for other engines, and if it does not say.
    pub version: Option<Version>,
    version_text: Option<Arc<str>>,
    /// Its models.
    inventory: Option<Arc<Inventory>>,
    /// What it has in memory, and when that was last read.
    memory: Option<(Arc<Memory>, Timestamp)>,
    capabilities: Arc<KnownCapabilities>,
    pinned_models: PinnedModels,
    target: Result<Arc<Target>, Arc<AddressError>>,
}

/// Canonical names of the models that pinned properties force on requests.
#[derive(Clone, Debug, Default)]
pub struct PinnedModels {
    embeddings: Option<Arc<str>>,
    completions: Option<Arc<str>>,
}

/// Why a configured address cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The host or port is not usable.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The system's certificate store is not usable.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

// === impl BackendView ===

impl BackendView {
    /// A backend of which nothing is known yet.
    pub(super) fn new(config: Arc<Backend>, capabilities: Arc<KnownCapabilities>) -> Self {
        Self {
            target: target(&config),
            pinned_models: PinnedModels::of(
                &config.pinned_embeddings_properties,
                &config.pinned_completions_properties,
            ),
            health: HealthView::Unhealthy(now()),
            has_verdict: false,
            inventory: None,
            memory: None,
            capabilities,
            version: None,
            version_text: None,
            config,
        }
    }

    /// The same backend by another configuration.
    pub(super) fn configure(&mut self, config: &Arc<Backend>) {
        if is_elsewhere(&self.config, config) {
            self.target = target(config);
            self.inventory = None;
            self.memory = None;
        }
        if is_elsewhere(&self.config, config) || self.config.api_format != config.api_format {
            self.version = None;
            self.version_text = None;
        }
        self.pinned_models =
            PinnedModels::of(&config.pinned_embeddings_properties, &config.pinned_completions_properties);
        self.config = config.clone();
    }

    /// Where to connect.
    pub fn target(&self) -> Result<&Arc<Target>, &AddressError> {
        self.target.as_ref().map_err(AsRef::as_ref)
    }

    /// `host:port` for messages.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.config.hostname, self.config.port)
    }

    /// Canonical name of the model that the backend's own pins force on requests of this kind.
    pub fn pinned_model(&self, kind: Kind) -> Option<&str> {
        self.pinned_models.get(kind)
    }

    /// Whether the backend has the model of this canonical name; `None` if its models are not known.
    pub fn has_model(&self, model: &str) -> Option<bool> {
        self.inventory.as_ref().map(|inventory| inventory.has(model))
    }

    /// How the backend itself spells the model that a client names so; `None` if the client spells it so, too, or the
    /// backend is not known to have it.
    pub fn spelling(&self, model: &str) -> Option<&str> {
        self.inventory.as_ref()?.spelling(model)
    }

    /// What it has on its disk; `None` until that was read. It stays while the backend is down. The same `Arc` means the
    /// same models.
    pub fn disk(&self) -> Option<&Arc<Disk>> {
        self.inventory.as_ref().map(|inventory| inventory.disk())
    }

    /// What it has in memory; `None` until that was read. It stays while the backend is down.
    pub fn memory(&self) -> Option<&Arc<Memory>> {
        self.memory.as_ref().map(|(memory, _)| memory)
    }

    /// When the memory was last read.
    pub fn memory_read_at(&self) -> Option<Timestamp> {
        self.memory.as_ref().map(|(_, at)| *at)
    }

    /// What models can do, by the digests of all backends of this node.
    pub fn capabilities(&self) -> Arc<CapabilityCache> {
        self.capabilities.known()
    }

    pub(super) fn claim_capabilities(&self, most: usize, turn: usize) -> Option<Claim> {
        Some(self.capabilities.claim(self.disk()?, most, turn))
    }

    /// Its version as it tells it, if that is one.
    pub fn version_text(&self) -> Option<&Arc<str>> {
        self.version_text.as_ref()
    }

    pub(super) fn take_version(&mut self, version: Option<Version>, text: &str) {
        self.version = version;
        self.version_text = version.map(|_| text.into());
    }

    /// Takes what was read of the disk. What has not changed stays the same value, so that whatever was made from
    /// it need not be made again.
    pub(super) fn take_disk(&mut self, disk: Arc<Disk>) {
        let unchanged =
            self.inventory.take().filter(|known| Arc::ptr_eq(known.disk(), &disk) || **known.disk() == *disk);
        self.inventory = Some(unchanged.unwrap_or_else(|| Arc::new(Inventory::new(disk))));
    }

    /// Takes what was read of the memory at `at`, likewise.
    pub(super) fn take_memory(&mut self, memory: Arc<Memory>, at: Timestamp) {
        let known = self.memory.take().map(|(known, _)| known);
        self.memory = Some((known.filter(|known| **known == *memory).unwrap_or(memory), at));
    }

    pub(super) fn target_id(&self) -> Option<u64> {
        self.target.as_ref().ok().map(|target| target.id())
    }
}

// === impl PinnedModels ===

impl PinnedModels {
    /// From the pinned properties for embeddings and for completions.
    pub fn of(embeddings: &Map<String, Value>, completions: &Map<String, Value>) -> Self {
        let model = |pins: &Map<String, Value>| {
            pins.get("model").and_then(Value::as_str).map(|name| canonical(name).into())
        };
        Self { embeddings: model(embeddings), completions: model(completions) }
    }

    /// For one kind of request.
    pub fn get(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Embeddings => self.embeddings.as_deref(),
            Kind::Completions => self.completions.as_deref(),
            Kind::Other => None,
        }
    }
}

/// Whether two configurations mean different servers.
pub(super) fn is_elsewhere(one: &Backend, other: &Backend) -> bool {
    let address = |config: &Backend| (config.hostname.clone(), config.port, config.ssl, config.verify_tls);
    let identity = |config: &Backend| {
        let Backend { tls_ca, tls_certificate, tls_key, tls_server_name, .. } = config.clone();
        (tls_ca, tls_certificate, tls_key, tls_server_name)
    };
    address(one) != address(other) || identity(one) != identity(other)
}

fn target(config: &Backend) -> Result<Arc<Target>, Arc<AddressError>> {
    target_of(config).map_err(|e| {
        tracing::error!(backend = %config.identifier, error = %e, "the backend's address cannot be used");
        Arc::new(e)
    })
}
