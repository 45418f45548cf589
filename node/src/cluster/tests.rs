//! Clusters of one to three nodes in one process, over real sockets and real disks.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use ollamaflow_protocol::cluster::{Command, Precondition};
use ollamaflow_protocol::object::Backend;
use tempfile::TempDir;

use super::*;
use crate::clock::now;

mod alone;
mod several;

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

const SECRET: &str = "a secret of the tests";

/// A node with a directory of its own.
struct Member {
    cluster: Cluster,
    _directory: TempDir,
    address: String,
}

fn timing() -> Timing {
    Timing {
        heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(500),
        election_max: Duration::from_secs(1),
    }
}

fn settings(directory: &Path, link: Option<Link>, start: Start) -> ClusterSettings {
    ClusterSettings {
        directory: directory.join("cluster"),
        link,
        start,
        timing: timing(),
        seed: Seed { frontends: Vec::new(), backends: vec![backend("seeded")] },
    }
}

fn backend(name: &str) -> Backend {
    let body = format!(r#"{{"Identifier":"{name}","Hostname":"127.0.0.1","Port":1}}"#);
    Backend::create(body.as_bytes(), now()).unwrap().value
}

fn put(name: &str) -> Command {
    Command::PutBackend { backend: Box::new(backend(name)), expect: Precondition::Any, sets_state: false }
}

fn link(listener: TcpListener) -> Link {
    let advertise = listener.local_addr().unwrap().to_string();
    Link { listener, advertise, secret: PeerSecret::new(SECRET).unwrap(), tls: None }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

impl Member {
    async fn start(listener: TcpListener, start: Start) -> Self {
        Self::start_in(TempDir::new().unwrap(), listener, start).await
    }

    async fn start_in(directory: TempDir, listener: TcpListener, start: Start) -> Self {
        let link = link(listener);
        let address = link.advertise.clone();
        let cluster = Cluster::start(settings(directory.path(), Some(link), start)).await.unwrap();
        Self { cluster, _directory: directory, address }
    }

    /// Three members of one new cluster.
    async fn three() -> [Self; 3] {
        let listeners = [listener(), listener(), listener()];
        let peers: BTreeSet<String> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
        let [first, second, third] = listeners;
        let members = [
            Self::start(first, Start::Peers(peers.clone())).await,
            Self::start(second, Start::Peers(peers.clone())).await,
            Self::start(third, Start::Peers(peers)).await,
        ];
        for member in &members {
            member.waits_until("three voters", |status| voters(status) == 3 && status.revision > 0).await;
        }
        members
    }

    async fn waits_until(&self, what: &str, holds: impl Fn(&Status) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&self.cluster.status()) {
            assert!(Instant::now() < deadline, "{what} at {}: {:#?}", self.address, self.cluster.status());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn has(&self, name: &str) -> bool {
        self.cluster.state().catalog().backends.contains_key(name)
    }

    fn is_leader(&self) -> bool {
        self.cluster.status().role == Role::Leader
    }
}

fn voters(status: &Status) -> usize {
    status.members.iter().filter(|member| member.is_voter).count()
}
