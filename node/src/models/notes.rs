//! What other nodes let this one know of changes that their clients have made.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;

use crate::actors::Directory;
use crate::cluster::{Cluster, Note, Received};

/// Most notes that are dealt with at once: each waits for backends.
const AT_ONCE: usize = 16;

/// Deals with the notes of other nodes until the cluster is gone. For one caller: another one gets none.
pub async fn heed(cluster: Cluster, directory: Arc<Directory>) {
    let Some(notes) = cluster.notes() else { return };
    drop(cluster);
    let notes = stream::unfold(notes, async |mut notes| Some((notes.recv().await?, notes)));
    notes.for_each_concurrent(AT_ONCE, |received| dealt(received, &directory)).await;
}

async fn dealt(received: Received, directory: &Directory) {
    let Note::ModelsChanged(backends) = &received.note;
    let known = backends.iter().filter_map(|backend| directory.backend(backend));
    // One that does not answer is read when it does.
    join_all(known.map(|backend| async move { backend.refresh_inventory().await })).await;
}
