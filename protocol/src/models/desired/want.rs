//! What frontends want, put together for each backend.

use std::collections::BTreeMap;

use crate::id::BackendId;
use crate::model::canonical;
use crate::models::satisfies;

/// What is wanted of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// To be on the disk.
    Required,
    /// To be in memory.
    Preload,
    /// Not to be there.
    Forbidden,
}

/// What is wanted of each backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// By id. A backend of which nothing is wanted is not in it.
    pub(super) backends: BTreeMap<BackendId, Wanted>,
}

/// What is wanted of one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// By the name as the first frontend writes it; no two names are of one model.
    pub(super) wishes: BTreeMap<String, Wishes>,
}

/// The wishes for one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    pub(super) required: bool,
    pub(super) preload: bool,
    pub(super) forbidden: bool,
    /// Forbidden, and to be deleted.
    pub(super) delete: bool,
}

// === impl Desired ===

impl Desired {
    /// Adds what a frontend wants of a backend.
    pub fn add<'a>(
        &mut self,
        backend: &BackendId,
        wish: Wish,
        models: impl IntoIterator<Item = &'a str>,
        delete_forbidden: bool,
    ) {
        for model in models.into_iter().map(str::trim).filter(|model| !model.is_empty()) {
            let wanted = self.backends.entry(backend.clone()).or_default();
            let wishes = wanted.of(model);
            match wish {
                Wish::Required => wishes.required = true,
                Wish::Preload => wishes.preload = true,
                Wish::Forbidden => {
                    wishes.forbidden = true;
                    wishes.delete |= delete_forbidden;
                }
            }
        }
    }

    /// What is wanted of a backend.
    pub fn of(&self, backend: &BackendId) -> Option<&Wanted> {
        self.backends.get(backend)
    }
}

// === impl Wanted ===

impl Wanted {
    /// Whether a model is required, or to be kept in memory. A name without a tag wants any of its tags.
    pub fn wants(&self, available: &str) -> bool {
        let wanting = self.wishes.iter().filter(|(_, wishes)| wishes.required || wishes.preload);
        wanting.into_iter().any(|(model, _)| satisfies(model, available))
    }

    /// Whether a model is to be deleted: it is forbidden, and nobody wants it.
    pub fn rejects(&self, available: &str) -> bool {
        let rejecting = |(model, wishes): (&String, &Wishes)| wishes.delete && satisfies(model, available);
        !self.wants(available) && self.wishes.iter().any(rejecting)
    }

    /// The wishes for a model, which one spelling stands for. A name without a tag is no spelling of `:latest` here: any
    /// tag satisfies it.
    fn of(&mut self, model: &str) -> &mut Wishes {
        let is_same = |known: &&String| {
            super::has_tag(known) == super::has_tag(model) && canonical(known) == canonical(model)
        };
        let known = self.wishes.keys().find(is_same).cloned();
        self.wishes.entry(known.unwrap_or_else(|| model.to_owned())).or_default()
    }
}
