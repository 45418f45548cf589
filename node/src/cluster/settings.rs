//! What a node must know to take its part in a cluster.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use ollamaflow_protocol::object::{Backend, Frontend};

use super::network::{PeerSecret, PeerTls};

/// What a node must know to take its part in a cluster.
#[derive(Debug)]
pub struct ClusterSettings {
    /// Where the log and the snapshots are kept; made if it is not there.
    pub directory: PathBuf,
    /// How the other nodes reach this one; none for a node that is alone for good.
    pub link: Option<Link>,
    /// How a node with an empty directory gets its cluster. Later starts find it on the disk.
    pub start: Start,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// The first objects, if this node founds the cluster.
    pub seed: Seed,
}

/// How the other nodes reach this one.
#[derive(Debug)]
pub struct Link {
    /// Where their calls come in.
    pub listener: TcpListener,
    /// Host and port under which the others reach that listener.
    pub advertise: String,
    /// What proves that a call comes from the cluster.
    pub secret: PeerSecret,
    /// Certificates, if the calls are to be encrypted.
    pub tls: Option<PeerTls>,
}

/// How a node with an empty directory gets its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// It is a cluster of one.
    Alone,
    /// These nodes, itself among them, form one cluster: the first of them founds it as soon as all are there, the
    /// others join. The same list on all nodes, in any order.
    Peers(BTreeSet<String>),
    /// It joins the cluster of the node at this address.
    Join(String),
    /// It waits until a member adds it.
    Invited,
}

/// Heartbeats and elections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Time between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// Shortest silence of the leader before a node stands for election.
    pub election_min: Duration,
    /// Longest such silence; for that long after a heartbeat no other leader is elected.
    pub election_max: Duration,
}

/// The first objects of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Seed {
    /// Virtual servers.
    pub frontends: Vec<Frontend>,
    /// Upstream servers.
    pub backends: Vec<Backend>,
}

// === impl Timing ===

impl Timing {
    /// Of a node that is alone for good: nobody hears its heartbeats, and each one wakes its threads up.
    pub(super) const ALONE: Self = Self {
        heartbeat: Duration::from_secs(1),
        election_min: Duration::from_secs(3),
        election_max: Duration::from_secs(6),
    };
}
