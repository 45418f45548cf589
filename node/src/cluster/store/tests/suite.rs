//! openraft's own tests of a storage.

use openraft::StorageError;
use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::cluster::store::{LogStore, StateMachine, Store};
use crate::cluster::types::TypeConfig;

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<u64>> {
        let directory = tempfile::tempdir().unwrap();
        let parts = Store::open(directory.path()).unwrap().into_raft().unwrap();
        Ok((directory, parts.log, parts.machine))
    }
}

#[test]
fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).unwrap();
}
