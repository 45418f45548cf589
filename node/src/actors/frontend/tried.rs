//! Which backends were tried for a request.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::actors::backend::BackendHandle;

/// Backends that were tried for a request, in order.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    all: SmallVec<[Arc<BackendHandle>; 4]>,
    /// Those that have answered that they have no such model.
    lacking: SmallVec<[Arc<BackendHandle>; 1]>,
}

// === impl Tried ===

impl Tried {
    /// Nothing was tried yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The backend is tried.
    pub fn push(&mut self, backend: Arc<BackendHandle>) {
        self.all.push(backend);
    }

    /// The backend has answered that it has no such model, whatever its list says.
    pub fn lacks(&mut self, backend: &Arc<BackendHandle>) {
        self.lacking.push(Arc::clone(backend));
    }

    pub(super) fn contains(&self, backend: &Arc<BackendHandle>) -> bool {
        self.all.iter().any(|tried| Arc::ptr_eq(tried, backend))
    }

    pub(super) fn has_shown_to_lack(&self, backend: &Arc<BackendHandle>) -> bool {
        self.lacking.iter().any(|tried| Arc::ptr_eq(tried, backend))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<BackendHandle>> {
        self.all.iter()
    }
}

impl FromIterator<Arc<BackendHandle>> for Tried {
    fn from_iter<I: IntoIterator<Item = Arc<BackendHandle>>>(backends: I) -> Self {
        Self { all: backends.into_iter().collect(), lacking: SmallVec::new() }
    }
}
