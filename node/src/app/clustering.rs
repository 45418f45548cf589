//! The node's part in the cluster: how it begins, and how what was agreed on reaches the rest of the node.

use std::path::Path;
use std::sync::Arc;

use super::{NodeError, listen};
use crate::catalog::CatalogPublisher;
use crate::cluster::{Cluster, ClusterSettings, Link, PeerSecret, PeerTls, Seed, Start, Timing};
use crate::keys::{Keys, Usage, UsageError, answer_peers};
use crate::settings::{ClusterPlan, ClusterStart, Settings};

/// Where below the data directory the cluster's log and snapshots are.
const DIRECTORY: &str = "cluster";

/// Where below it the books of virtual keys are.
const USAGE: &str = "usage";

/// Takes part in the cluster. The objects of the settings are the first ones of a new cluster.
pub(super) async fn start(settings: &Settings, plan: ClusterPlan) -> Result<Cluster, NodeError> {
    let link = link(&plan)?;
    let ClusterPlan { start, timing, .. } = plan;
    let settings = ClusterSettings {
        directory: Path::new(&settings.data_directory).join(DIRECTORY),
        link,
        start: match start {
            ClusterStart::Alone => Start::Alone,
            ClusterStart::Peers(peers) => Start::Peers(peers.into_iter().collect()),
            ClusterStart::Join(address) => Start::Join(address),
            ClusterStart::Invited => Start::Invited,
        },
        timing: Timing {
            heartbeat: timing.heartbeat,
            election_min: timing.election_min,
            election_max: timing.election_max,
        },
        seed: Seed { frontends: settings.frontends.clone(), backends: settings.backends.clone() },
    };
    Ok(Cluster::start(settings).await?)
}

/// The virtual keys of the catalog, and the books of what they use.
pub(super) fn start_keys(
    settings: &Settings,
    cluster: &Cluster,
) -> Result<(Arc<Keys>, Arc<Usage>), UsageError> {
    let keys = Arc::new(Keys::default());
    keys.publish(&cluster.state());
    let usage = Usage::start(Path::new(&settings.data_directory).join(USAGE), keys.clone())?;
    actix_web::rt::spawn(keys.clone().follow(cluster.clone()));
    actix_web::rt::spawn(answer_peers(cluster.clone(), usage.clone()));
    Ok((keys, usage))
}

/// The connection to the other nodes; none for a node that is alone for good.
fn link(plan: &ClusterPlan) -> Result<Option<Link>, NodeError> {
    let (Some(target), Some(advertise), Some(secret)) = (&plan.listen, &plan.advertise, &plan.secret) else {
        return Ok(None);
    };
    // One socket is enough: `*` is both families, and a name is what the other nodes resolve too.
    let Some(listener) = listen::bind(target)?.into_iter().next() else { return Ok(None) };
    let tls = plan.tls.as_ref();
    let tls = tls.map(|tls| PeerTls::load(&tls.ca_file, &tls.certificate_file, &tls.key_file)).transpose()?;
    let secret = PeerSecret::new(secret.expose())?;
    Ok(Some(Link { listener, advertise: advertise.clone(), secret, tls }))
}

/// Hands on the catalog of every state that this node applies, until the cluster is gone.
pub(super) async fn publish(cluster: Cluster, publisher: CatalogPublisher) {
    let mut states = cluster.subscribe();
    drop(cluster);
    loop {
        let catalog = states.borrow_and_update().state.catalog().clone();
        publisher.publish(catalog);
        if states.changed().await.is_err() {
            return;
        }
    }
}
