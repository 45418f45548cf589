//! Since when each claim has been seen as it is, by the steady clock of this node.

use std::collections::HashMap;
use std::sync::{PoisonError, Weak};
use std::time::{Duration, Instant};

use ollamaflow_protocol::cluster::{ClusterState, Sighting, WorkKey};

use super::Shared;
use crate::cluster::Cluster;

/// The claims as they were seen last. As many as there are works, which are bounded.
#[derive(Default)]
pub(super) struct Sightings(HashMap<WorkKey, (Sighting, Instant)>);

// === impl Sightings ===

impl Sightings {
    /// For how long a claim has been seen without a renewal.
    pub(super) fn silence(&self, key: &WorkKey, claim: Sighting) -> Option<Duration> {
        let (seen, since) = self.0.get(key)?;
        (*seen == claim).then(|| since.elapsed())
    }

    /// Looks at the claims that there are now.
    fn look(&mut self, state: &ClusterState, now: Instant) {
        let held: HashMap<_, _> = state
            .works()
            .filter_map(|work| Some((work.key.clone(), work.hold.as_ref()?.sighting())))
            .collect();
        let since = |key: &WorkKey, claim: Sighting| {
            self.0.get(key).filter(|(seen, _)| *seen == claim).map_or(now, |(_, since)| *since)
        };
        let seen = held.into_iter().map(|(key, claim)| {
            let since = since(&key, claim);
            (key, (claim, since))
        });
        self.0 = seen.collect();
    }
}

/// Looks at every state that is applied, until nobody makes claims any more.
pub(super) async fn watch(cluster: Cluster, claims: Weak<Shared>) {
    let mut states = cluster.subscribe();
    // It would keep the cluster, and with it the channel, for ever.
    drop(cluster);
    loop {
        {
            let Some(claims) = claims.upgrade() else { return };
            let state = states.borrow_and_update().state.clone();
            claims.sightings.lock().unwrap_or_else(PoisonError::into_inner).look(&state, Instant::now());
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use ollamaflow_protocol::cluster::{Command, Envelope};
    use ollamaflow_protocol::models::desired::ActionKind;
    use ollamaflow_protocol::object::Backend;
    use ollamaflow_protocol::time::Timestamp;

    use super::*;

    #[test]
    fn only_a_renewal_or_another_claim_ends_the_silence() {
        let key =
            WorkKey { backend: "b1".parse().unwrap(), kind: ActionKind::Pull, model: "m:latest".to_owned() };
        let mut state = ClusterState::new();
        let mut index = 0;
        let mut apply = |command| {
            index += 1;
            let envelope = Envelope::new(u128::from(index), Timestamp::EPOCH, "t", 1, command);
            let (next, outcome) = state.apply(index, &envelope);
            outcome.unwrap();
            state = next.clone();
            next
        };
        apply(Command::Seed {
            cluster_id: "c".parse().unwrap(),
            founders: Vec::new(),
            frontends: Vec::new(),
            backends: vec![Backend::new("b1".parse().unwrap())],
        });
        let claim = Command::ClaimWork { key: key.clone(), name: "m".to_owned(), token: 5, over: None };
        let claimed = apply(claim);
        let renewed = apply(Command::RenewWork { key: key.clone(), token: 5, percent: None });
        let hold = |state: &ClusterState| state.work(&key).unwrap().hold.as_ref().unwrap().sighting();
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let mut sightings = Sightings::default();
        sightings.look(&claimed, long_ago);
        sightings.look(&claimed, Instant::now());
        assert!(sightings.silence(&key, hold(&claimed)).unwrap() >= Duration::from_secs(60));
        assert_eq!(sightings.silence(&key, hold(&renewed)), None, "it has not been seen yet");
        sightings.look(&renewed, Instant::now());
        assert!(sightings.silence(&key, hold(&renewed)).unwrap() < Duration::from_secs(30));
        assert_eq!(sightings.silence(&key, hold(&claimed)), None);
    }
}
