//! The catalog: every configured frontend, backend and virtual key, as one consistent value.
//!
//! In: whole objects. Out: lookups by id. Who changes it, stores it or watches it is not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::id::{BackendId, FrontendId, KeyId};
use crate::object::{Backend, Frontend, JsonPath, Key};

/// All configuration that requests are served by. Cloning shares the objects.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalog {
    /// Frontends by id.
    pub frontends: BTreeMap<FrontendId, Arc<Frontend>>,
    /// Backends by id.
    pub backends: BTreeMap<BackendId, Arc<Backend>>,
    /// Virtual keys by id. They may name frontends that do not exist: those let nobody in.
    pub keys: BTreeMap<KeyId, Arc<Key>>,
}

/// A reason why objects do not make a catalog. Positions count from 0 in the lists that were given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Violation {
    /// Two frontends carry one id; `index` is the second.
    #[error("repeats the frontend id {id}: give each frontend its own")]
    DuplicateFrontend {
        /// Position of the second frontend.
        index: usize,
        /// The id they share.
        id: FrontendId,
    },
    /// Two backends carry one id; `index` is the second.
    #[error("repeats the backend id {id}: give each backend its own")]
    DuplicateBackend {
        /// Position of the second backend.
        index: usize,
        /// The id they share.
        id: BackendId,
    },
    /// A frontend names a backend that does not exist.
    #[error(
        "of frontend {frontend} names the backend {backend}, which does not exist: create it first or remove the name"
    )]
    UnknownBackend {
        /// Position of the frontend.
        index: usize,
        /// Position of the name in its `Backends`.
        position: usize,
        /// The frontend.
        frontend: FrontendId,
        /// The name that leads nowhere.
        backend: BackendId,
    },
}

// === Catalog ===

impl Catalog {
    /// Builds a catalog, or tells everything that is wrong with the objects.
    pub fn from_objects(frontends: Vec<Frontend>, backends: Vec<Backend>) -> Result<Self, Vec<Violation>> {
        let mut catalog = Self::default();
        let mut violations = Vec::new();
        for (index, backend) in backends.into_iter().enumerate() {
            let id = backend.identifier.clone();
            if catalog.backends.insert(id.clone(), Arc::new(backend)).is_some() {
                violations.push(Violation::DuplicateBackend { index, id });
            }
        }
        for (index, frontend) in frontends.into_iter().enumerate() {
            let id = frontend.identifier.clone();
            for (position, backend) in frontend.backends.iter().enumerate() {
                if !catalog.backends.contains_key(backend) {
                    let (frontend, backend) = (id.clone(), backend.clone());
                    violations.push(Violation::UnknownBackend { index, position, frontend, backend });
                }
            }
            if catalog.frontends.insert(id.clone(), Arc::new(frontend)).is_some() {
                violations.push(Violation::DuplicateFrontend { index, id });
            }
        }
        if violations.is_empty() { Ok(catalog) } else { Err(violations) }
    }

    /// The frontends that list `backend`, in id order: those that stand in the way of deleting it.
    pub fn frontends_using<'a>(&'a self, backend: &'a BackendId) -> impl Iterator<Item = &'a Arc<Frontend>> {
        self.frontends.values().filter(move |frontend| frontend.backends.contains(backend))
    }
}

// === Violation ===

impl Violation {
    /// The place of the fault in a document that holds both lists, such as the settings file.
    pub fn path(&self) -> JsonPath {
        match self {
            Self::DuplicateFrontend { index, .. } => {
                JsonPath::root().property("Frontends").item(*index).property("Identifier")
            }
            Self::DuplicateBackend { index, .. } => {
                JsonPath::root().property("Backends").item(*index).property("Identifier")
            }
            Self::UnknownBackend { index, position, .. } => {
                JsonPath::root().property("Frontends").item(*index).property("Backends").item(*position)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(id: &str) -> Backend {
        Backend::new(id.parse().unwrap())
    }

    fn frontend(id: &str, backends: &[&str]) -> Frontend {
        let backends = backends.iter().map(|id| id.parse().unwrap()).collect();
        Frontend { backends, ..Frontend::new(id.parse().unwrap()) }
    }

    #[test]
    fn consistent_objects_make_a_catalog() {
        let catalog =
            Catalog::from_objects(vec![frontend("f1", &["b2", "b1"])], vec![backend("b1"), backend("b2")])
                .unwrap();
        assert_eq!(catalog.backends.len(), 2);
        assert_eq!(catalog.frontends_using(&"b1".parse().unwrap()).count(), 1);
        assert_eq!(catalog.frontends_using(&"b9".parse().unwrap()).count(), 0);
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let frontends = vec![frontend("f1", &["b1", "b9"]), frontend("f1", &[])];
        let violations = Catalog::from_objects(frontends, vec![backend("b1"), backend("b1")]).unwrap_err();
        let sentences: Vec<String> =
            violations.iter().map(|violation| format!("{} {violation}", violation.path())).collect();
        assert_eq!(sentences.len(), 3);
        assert!(sentences[0].starts_with("Backends[1].Identifier repeats the backend id b1"));
        assert!(sentences[1].starts_with("Frontends[0].Backends[1] of frontend f1 names the backend b9"));
        assert!(sentences[2].starts_with("Frontends[1].Identifier repeats the frontend id f1"));
    }
}
