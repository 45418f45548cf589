//! Metrics of models: the work on them, as all nodes agree on it, and where this node knows them to be.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ollamaflow_protocol::cluster::{ClusterState, Work};
use ollamaflow_protocol::models::desired::{ActionKind, Failure};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::names;
use crate::actors::Directory;

/// The works at the moment of a scrape.
#[derive(Debug)]
pub(super) struct ModelMetrics {
    pub(super) state: ClusterState,
    pub(super) missing: usize,
    pub(super) directory: Arc<Directory>,
}

/// Models that are told by name.
const MOST_MODELS: usize = 256;

/// The name of all others.
const OTHER: &str = "other";

/// Where a backend may have a model.
const PLACES: [&str; 2] = ["on_disk", "in_memory"];

const KINDS: [(ActionKind, &str); 3] =
    [(ActionKind::Pull, "pull"), (ActionKind::Load, "load"), (ActionKind::Delete, "delete")];

const STATES: [&str; 3] = ["running", "waiting", "final"];

impl Collector for ModelMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::begin(&mut encoder, &names::MODEL_WORKS)?;
        for (kind, name) in KINDS {
            for state in STATES {
                let is_so = |work: &&Work| work.key.kind == kind && state_of(work) == state;
                let count = self.state.works().filter(is_so).count();
                family.gauge(&[("kind", name), ("state", state)], count as u64)?;
            }
        }
        Family::begin(&mut encoder, &names::MODELS_MISSING)?.one_gauge(self.missing as u64)?;
        self.whereabouts(&mut encoder)
    }
}

// === impl ModelMetrics ===

impl ModelMetrics {
    /// Which models are where, of what backends have told last.
    fn whereabouts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let backends = self.directory.backends();
        let mut models = BTreeMap::<String, [u64; 2]>::new();
        let mut family = Family::begin(encoder, &names::BACKEND_MODELS)?;
        for backend in &backends {
            let view = backend.view();
            let disk = view.disk().into_iter().flat_map(|disk| disk.models()).map(|model| &model.canonical);
            let memory =
                view.memory().into_iter().flat_map(|memory| memory.models()).map(|model| &model.canonical);
            let places: [Vec<&String>; 2] = [disk.collect(), memory.collect()];
            for (place, (label, names)) in PLACES.into_iter().zip(places).enumerate() {
                let labels = [("backend", backend.id().as_ref()), ("state", label)];
                family.gauge(&labels, names.len() as u64)?;
                for name in names {
                    models.entry(name.clone()).or_default()[place] += 1;
                }
            }
        }
        let mut family = Family::begin(encoder, &names::MODEL_BACKENDS)?;
        for (model, places) in bounded(models) {
            for (label, count) in PLACES.into_iter().zip(places) {
                family.gauge(&[("model", &model), ("state", label)], count)?;
            }
        }
        Ok(())
    }
}

/// Those of the most backends, and the sum of all others as `other`: backends may have any number of models.
fn bounded(models: BTreeMap<String, [u64; 2]>) -> Vec<(String, [u64; 2])> {
    let mut models: Vec<_> = models.into_iter().collect();
    models.sort_by_key(|(_, places)| std::cmp::Reverse(*places));
    let rest = models.split_off(models.len().min(MOST_MODELS));
    if !rest.is_empty() {
        models.retain(|(model, _)| model != OTHER);
        let sum = |place: usize| rest.iter().map(|(_, places)| places[place]).sum();
        models.push((OTHER.to_owned(), [sum(0), sum(1)]));
    }
    models
}

fn state_of(work: &Work) -> &'static str {
    match (&work.hold, &work.failure) {
        (Some(_), _) => "running",
        (None, Some(failure)) if failure.why != Failure::Transient => "final",
        (None, _) => "waiting",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_models_are_told_by_name_and_the_others_together() {
        let number = |number: usize| (format!("m{number:04}"), [1, 0]);
        let mut models: BTreeMap<_, _> = (0..MOST_MODELS + 10).map(number).collect();
        models.insert("m0300".to_owned(), [3, 2]);
        let told = bounded(models);
        assert_eq!(told.len(), MOST_MODELS + 1);
        assert_eq!(told[0], ("m0300".to_owned(), [3, 2]));
        assert_eq!(told[MOST_MODELS], (OTHER.to_owned(), [11, 0]));
    }
}
