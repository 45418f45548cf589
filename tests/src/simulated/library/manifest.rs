//! What a model is made of: layers and a configuration, each a blob. Pure. The bytes of published layers do not exist;
//! their digests are those of texts that say what they stand for, so that the same model has the same on each backend.

use serde_json::json;

use super::name::{canonical, sha256};
use super::spec::ModelSpec;

/// Media type of weights.
pub(in crate::simulated) const WEIGHTS: &str = "application/vnd.ollama.image.model";
const TEMPLATE: &str = "application/vnd.ollama.image.template";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Bytes of a published model's template; a model smaller than a few of these has none.
const TEMPLATE_BYTES: u64 = 358;

/// A blob in its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulated) struct Layer {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

/// A model as it is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulated) struct Manifest {
    /// Without the configuration.
    pub layers: Vec<Layer>,
    pub config: Layer,
}

impl Layer {
    /// A layer whose bytes are these.
    pub(in crate::simulated) fn of(media_type: &str, bytes: &str) -> Self {
        let size = bytes.len() as u64;
        Self { media_type: media_type.to_owned(), digest: sha256(bytes), size }
    }

    /// A layer which is said to have so many bytes.
    fn standing_for(media_type: &str, what: &str, size: u64) -> Self {
        Self { media_type: media_type.to_owned(), digest: sha256(what), size }
    }
}

impl Manifest {
    /// A model of these layers.
    pub(in crate::simulated) fn new(spec: &ModelSpec, layers: Vec<Layer>) -> Self {
        let config = json!({
            "model_format": "gguf",
            "model_family": spec.family,
            "model_type": spec.parameter_size,
            "file_type": spec.quantization_level,
            "capabilities": spec.capabilities,
            "rootfs": layers.iter().map(|layer| &layer.digest).collect::<Vec<_>>(),
        });
        Self { layers, config: Layer::of(CONFIG, &config.to_string()) }
    }

    /// The model as a registry publishes it.
    pub(in crate::simulated) fn published(spec: &ModelSpec) -> Self {
        let (name, version) = (canonical(&spec.name), spec.version);
        let has_template = spec.size > 4 * TEMPLATE_BYTES;
        let weights = if has_template { spec.size - TEMPLATE_BYTES } else { spec.size };
        let parts = spec.weight_layers.clamp(1, weights.max(1));
        let part = |index: u64| {
            let size = weights / parts + if index == 0 { weights % parts } else { 0 };
            Layer::standing_for(WEIGHTS, &format!("{name} v{version} weights {index} of {size}"), size)
        };
        let mut layers: Vec<_> = (0..parts).map(part).collect();
        if has_template {
            layers.push(Layer::standing_for(TEMPLATE, &format!("{name} template"), TEMPLATE_BYTES));
        }
        Self::new(spec, layers)
    }

    /// All blobs it needs, in the order in which they are downloaded.
    pub(in crate::simulated) fn blobs(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().chain([&self.config])
    }

    /// The model's digest: 64 hexadecimal digits.
    pub(in crate::simulated) fn digest(&self) -> String {
        let list: Vec<_> =
            self.blobs().map(|layer| json!([layer.media_type, layer.digest, layer.size])).collect();
        sha256(json!(list).to_string()).trim_start_matches("sha256:").to_owned()
    }

    /// Bytes of the model, without its configuration.
    pub(in crate::simulated) fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layers_of_a_published_model_have_its_size() {
        for (size, layers) in [(0, 1), (7, 3), (5_793_715, 1), (10_000_001, 4)] {
            let manifest = Manifest::published(&ModelSpec::named("m").with_size(size, layers));
            assert_eq!(manifest.size(), size);
            assert!(manifest.layers.len() as u64 >= layers.min(size));
        }
    }

    #[test]
    fn a_version_changes_the_digest_and_the_form_of_the_name_does_not() {
        let digest = |spec: &ModelSpec| Manifest::published(spec).digest();
        let first = ModelSpec::named("m");
        assert_eq!(digest(&first), digest(&ModelSpec::named("library/M:latest")));
        assert_ne!(digest(&first), digest(&first.clone().in_version(2)));
        assert_ne!(digest(&first), digest(&ModelSpec::named("m:7b")));
    }
}
