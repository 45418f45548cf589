//! What a merged answer is made of: the frontend's aliases, and what is known of each backend that counts.

use std::sync::Arc;

use ollamaflow_protocol::models::ModelAliases;
use ollamaflow_protocol::models::inventory::{Disk, Memory};
use ollamaflow_protocol::models::merge::Source;
use ollamaflow_protocol::object::{Backend, Frontend};
use ollamaflow_protocol::time::Timestamp;

use crate::actors::{BackendView, FrontendView, Query};

/// Which of a backend's lists is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Disk,
    Memory,
}

/// Everything that a merged answer follows from. Cheap to make: nothing in it is copied.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    config: Arc<Frontend>,
    known: Vec<Known>,
}

/// What is known of one backend.
#[derive(Clone, Debug)]
struct Known {
    backend: Arc<Backend>,
    list: List,
}

#[derive(Clone, Debug)]
enum List {
    Disk(Arc<Disk>),
    Memory {
        memory: Arc<Memory>,
        /// Places of those that have left since; mostly none.
        gone: Vec<usize>,
    },
}

// === impl Inputs ===

impl Inputs {
    /// Of the backends that count for `query` and of which the part is known.
    pub(super) fn of(frontend: &FrontendView, query: &Query, part: Part, now: Timestamp) -> Self {
        let mut known = Vec::with_capacity(frontend.size());
        known.extend(frontend.suiting(query).filter_map(|(_, view)| Known::of(&view, part, now)));
        Self { config: frontend.config.clone(), known }
    }

    /// Whether nothing is known.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// How many models the lists have together.
    pub(super) fn entries(&self) -> usize {
        let entries = self.known.iter().map(|known| match &known.list {
            List::Disk(disk) => disk.models().len(),
            List::Memory { memory, .. } => memory.models().len(),
        });
        entries.sum()
    }

    /// The frontend's aliases.
    pub(super) fn aliases(&self) -> &ModelAliases {
        &self.config.model_aliases
    }

    /// For merging.
    pub(super) fn sources(&self) -> Vec<Source<'_>> {
        let sources = self.known.iter().map(|Known { backend, list }| {
            let (disk, memory) = match list {
                List::Disk(disk) => (Some(&**disk), None),
                List::Memory { memory, .. } => (None, Some(&**memory)),
            };
            Source { backend: &backend.identifier, disk, memory }
        });
        sources.collect()
    }

    /// The same without the models that have left memory since it was read.
    pub(super) fn without_gone(mut self) -> Self {
        for known in &mut self.known {
            if let List::Memory { memory, gone } = &mut known.list
                && !gone.is_empty()
            {
                *memory = Arc::new(memory.without(gone));
            }
        }
        self
    }

    /// Whether the same answer follows from both. Only identities are compared: what has not changed stays the same
    /// value.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same_config = Arc::ptr_eq(&self.config, &other.config)
            || self.config.model_aliases == other.config.model_aliases;
        same_config
            && self.known.len() == other.known.len()
            && self.known.iter().zip(&other.known).all(|(one, other)| one.is_same(other))
    }
}

// === impl Known ===

impl Known {
    fn of(view: &BackendView, part: Part, now: Timestamp) -> Option<Self> {
        let list = match part {
            Part::Disk => List::Disk(view.disk()?.clone()),
            Part::Memory => {
                let (memory, read_at) = view.memory().zip(view.memory_read_at())?;
                List::Memory { memory: memory.clone(), gone: memory.gone(read_at, now).collect() }
            }
        };
        Some(Self { backend: view.config.clone(), list })
    }

    fn is_same(&self, other: &Self) -> bool {
        let same_list = match (&self.list, &other.list) {
            (List::Disk(one), List::Disk(other)) => Arc::ptr_eq(one, other),
            (List::Memory { memory: one, gone }, List::Memory { memory: other, gone: gone_there }) => {
                Arc::ptr_eq(one, other) && gone == gone_there
            }
            _ => false,
        };
        same_list && self.backend.identifier == other.backend.identifier
    }
}

#[cfg(test)]
impl Inputs {
    /// Of one backend with a disk.
    pub(super) fn with_disk(config: Arc<Frontend>, backend: Arc<Backend>, disk: Arc<Disk>) -> Self {
        Self { config, known: vec![Known { backend, list: List::Disk(disk) }] }
    }

    /// Of one backend with this in memory.
    pub(super) fn with_memory(
        config: Arc<Frontend>,
        backend: Arc<Backend>,
        memory: Arc<Memory>,
        gone: Vec<usize>,
    ) -> Self {
        Self { config, known: vec![Known { backend, list: List::Memory { memory, gone } }] }
    }
}
