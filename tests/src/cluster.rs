//! Several nodes that form a cluster, each a process with a directory of its own, and a network between them that the
//! test can cut. Nodes are named by their place, 0 to n - 1; the ids that the cluster gives them are in their status.
//!
//! What is relied on: the flags `--cluster-listen`, `--advertise`, `--peers`, `--join`, `--cluster-secret` and
//! `--data-directory`, and the admin API (`GET /v1.0/cluster` and the rest).
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

mod admin;
mod builder;
mod network;
mod status;
mod turns;

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use self::network::{Network, Place};
use crate::node::{Node, NodeBuilder};
use crate::wait;

pub use admin::{ANSWER_PATIENCE, Addresses, Admin, Consistency, NoAnswer, Write, etag, message, revision};
pub use builder::ClusterBuilder;
pub use network::Partition;
pub use status::{Agreement, Status};

/// Where each node keeps what it stores, in its directory.
const DATA_DIRECTORY: &str = "data";
/// How long nodes may take to agree, or to find a leader. Elections on a busy machine take their time.
const AGREEMENT_PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A cluster. Dropping it kills its nodes.
#[derive(Debug)]
pub struct Cluster {
    /// Before the network: nodes end first.
    nodes: Vec<Member>,
    network: Network,
    addresses: Addresses,
    configuration: ClusterBuilder,
}

/// A node of a cluster, started or not.
#[derive(Debug)]
struct Member {
    node: Option<Node>,
    place: Place,
    directory: Arc<TempDir>,
    builder: NodeBuilder,
}

impl Cluster {
    /// A cluster to be configured.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// Three nodes that follow one leader.
    pub async fn of_three() -> Self {
        Self::builder().start().await
    }

    fn prepare(configuration: ClusterBuilder) -> Self {
        let count = configuration.count;
        let mut cluster = Self {
            nodes: Vec::new(),
            network: Network::new(),
            addresses: Addresses::default(),
            configuration,
        };
        for _ in 0..count {
            cluster.admit(|builder| builder);
        }
        let peers: Vec<_> = cluster.nodes.iter().map(|member| member.place.advertised.to_string()).collect();
        let peers = peers.join(",");
        if count > 1 {
            for member in &mut cluster.nodes {
                member.builder = member.builder.clone().arg("--peers").arg(&peers);
            }
        }
        cluster
    }

    /// A place for one more node, which is not started.
    fn admit(&mut self, configure: impl FnOnce(NodeBuilder) -> NodeBuilder) -> usize {
        let directory = Arc::new(TempDir::new().unwrap_or_else(|e| panic!("no temporary directory: {e}")));
        let path = directory.path().canonicalize().unwrap_or_else(|e| panic!("directory: {e}"));
        let place = if self.configuration.is_direct { Network::direct() } else { self.network.admit(path) };
        let builder = self.configuration.template.clone().directory(Arc::clone(&directory));
        let builder = [
            ("--cluster-listen", place.listen.to_string()),
            ("--advertise", place.advertised.to_string()),
            ("--cluster-secret", self.configuration.secret.clone()),
            ("--data-directory", DATA_DIRECTORY.to_owned()),
        ]
        .into_iter()
        .fold(builder, |builder, (flag, value)| builder.arg(flag).arg(&value));
        let index = self.nodes.len();
        self.addresses.set(index, None);
        self.nodes.push(Member { node: None, place, directory, builder: configure(builder) });
        index
    }

    // === nodes ===

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node that was started. Panics when it was not.
    pub fn node(&self, index: usize) -> &Node {
        let node = self.nodes[index].node.as_ref();
        node.unwrap_or_else(|| panic!("node {index} was not started"))
    }

    /// The same, to do something to it. Its address may be another one when this is given back.
    pub fn node_mut(&mut self, index: usize) -> NodeMut<'_> {
        assert!(self.nodes[index].node.is_some(), "node {index} was not started");
        NodeMut { cluster: self, index }
    }

    /// Where the nodes listen for clients, for clients that go on while nodes are restarted.
    pub fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// A client of one node.
    pub fn admin(&self, index: usize) -> Admin {
        self.addresses.admin(index)
    }

    /// The address under which the others reach a node.
    pub fn advertised(&self, index: usize) -> String {
        self.nodes[index].place.advertised.to_string()
    }

    /// Where a node itself listens for the others, without a forwarder before it.
    pub fn cluster_listener(&self, index: usize) -> SocketAddr {
        self.nodes[index].place.listen
    }

    /// Where a node keeps what it stores.
    pub fn data_directory(&self, index: usize) -> PathBuf {
        self.nodes[index].directory.path().join(DATA_DIRECTORY)
    }

    /// The nodes whose processes run.
    pub fn running(&self) -> Vec<usize> {
        (0..self.len()).filter(|index| self.addresses.get(*index).is_some()).collect()
    }

    /// Starts a node, in the directory that it ran in before if it did.
    pub async fn start(&mut self, index: usize) {
        self.try_start(index).await.unwrap_or_else(|failure| panic!("node {index}: {failure}"));
    }

    /// The same; the error tells how it ended before it listened.
    pub async fn try_start(&mut self, index: usize) -> Result<(), String> {
        let member = &mut self.nodes[index];
        match &mut member.node {
            Some(node) => node.try_restart().await?,
            None => member.node = Some(member.builder.clone().try_start().await?),
        }
        self.addresses.set(index, member.node.as_ref().map(Node::addr));
        Ok(())
    }

    /// Starts these nodes at the same time.
    pub async fn start_together(&mut self, indexes: &[usize]) {
        let mut starting = tokio::task::JoinSet::new();
        for &index in indexes {
            let mut node = self.nodes[index].node.take();
            let builder = self.nodes[index].builder.clone();
            starting.spawn(async move {
                match &mut node {
                    Some(node) => node.restart().await,
                    None => node = Some(builder.start().await),
                }
                (index, node)
            });
        }
        while let Some(started) = starting.join_next().await {
            let (index, node) = started.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
            self.addresses.set(index, node.as_ref().map(Node::addr));
            self.nodes[index].node = node;
        }
    }

    /// Kills a node with signal 9.
    pub fn kill(&mut self, index: usize) {
        self.addresses.set(index, None);
        if let Some(node) = &mut self.nodes[index].node {
            node.kill();
        }
    }

    /// Asks a node to end, and waits until it has.
    pub async fn terminate(&mut self, index: usize) -> ExitStatus {
        let status = self.node_mut(index).terminate().await;
        self.addresses.set(index, None);
        status
    }

    /// Kills a node and takes away everything that it has stored.
    pub fn wipe(&mut self, index: usize) {
        self.kill(index);
        let data = self.data_directory(index);
        std::fs::remove_dir_all(&data).unwrap_or_else(|e| panic!("{}: {e}", data.display()));
    }

    /// Starts one more node, which joins through this one.
    pub async fn join_through(&mut self, index: usize) -> usize {
        let through = self.advertised(index);
        self.join(&through).await
    }

    /// Starts one more node, which joins through this address.
    pub async fn join(&mut self, through: &str) -> usize {
        let index = self.admit(|builder| builder.arg("--join").arg(through));
        self.start(index).await;
        index
    }

    /// Starts one more node with arguments of the test's.
    pub async fn start_other(&mut self, configure: impl FnOnce(NodeBuilder) -> NodeBuilder) -> usize {
        let index = self.admit(configure);
        self.start(index).await;
        index
    }

    /// Gives a node other arguments, from its next start on.
    pub fn reconfigure(&mut self, index: usize, change: impl Fn(NodeBuilder) -> NodeBuilder) {
        let member = &mut self.nodes[index];
        member.builder = change(member.builder.clone());
        if let Some(node) = &mut member.node {
            node.reconfigure(change);
        }
    }

    // === network ===

    /// Cuts a node off from all others.
    pub fn isolate(&self, index: usize, partition: Partition) {
        for other in (0..self.len()).filter(|other| *other != index) {
            self.network.part(index, other, partition);
        }
    }

    /// Cuts two nodes off from each other.
    pub fn part(&self, one: usize, other: usize, partition: Partition) {
        self.network.part(one, other, partition);
    }

    /// Connects all nodes again.
    pub fn heal(&self) {
        self.network.heal();
    }

    /// Connections between nodes so far.
    pub fn connections(&self) -> u64 {
        self.network.forwarded()
    }

    // === what the nodes think ===

    /// The status that a node gives.
    pub async fn status(&self, index: usize) -> Result<Status, String> {
        let status = self.admin(index).read("/v1.0/cluster", Consistency::Local).await;
        status.map(Status).map_err(|e| format!("node {index} gives no status: {e}"))
    }

    /// The id of a node. Panics when it has none.
    pub async fn id(&self, index: usize) -> u64 {
        let status = self.status(index).await.unwrap_or_else(|e| panic!("{e}"));
        status.node_id().unwrap_or_else(|| panic!("node {index} has no id: {status:?}"))
    }

    /// Waits until all running nodes follow one of them as the leader, and names it.
    pub async fn leader(&self) -> usize {
        self.leader_among(&self.running()).await
    }

    /// Waits until these nodes follow one of them as the leader, and names it.
    pub async fn leader_among(&self, indexes: &[usize]) -> usize {
        self.look(&format!("{indexes:?} follow one of them"), async || {
            let statuses = self.statuses(indexes).await?;
            let leads = |status: &&Status| status.role() == "Leader" && status.leader() == status.node_id();
            let leaders: Vec<_> = statuses.iter().zip(indexes).filter(|(status, _)| leads(status)).collect();
            match leaders.as_slice() {
                [(leader, index)] if statuses.iter().all(|s| s.leader() == leader.node_id()) => Ok(**index),
                _ => Err(format!("{statuses:?}")),
            }
        })
        .await
    }

    /// Waits until all running nodes agree, each of them has a vote, and knows that so many vote.
    pub async fn formed(&self, voters: usize) -> Agreement {
        for index in self.running() {
            let what = format!("votes, and knows {voters} voters");
            self.wait_status(index, &what, |status| {
                let known = status.voters();
                known.len() == voters && status.node_id().is_some_and(|id| known.contains(&id))
            })
            .await;
        }
        self.agree().await
    }

    /// The running nodes but the leader.
    pub async fn followers(&self) -> Vec<usize> {
        let leader = self.leader().await;
        self.running().into_iter().filter(|index| *index != leader).collect()
    }

    /// Waits until all running nodes follow one leader and have applied the same, and makes sure that this is the same
    /// to the bit. Every test ends with it.
    pub async fn agree(&self) -> Agreement {
        self.agree_among(&self.running()).await
    }

    /// The same for these nodes. Each first makes sure, with a quorum, that it has everything that was confirmed: after a
    /// restart a node shows what it had applied, until a leader has told it how far the log goes.
    pub async fn agree_among(&self, indexes: &[usize]) -> Agreement {
        for &index in indexes {
            self.look(&format!("node {index} answers a quorum read"), async || {
                self.admin(index).read("/v1.0/catalog", Consistency::Linearizable).await
            })
            .await;
        }
        self.look(&format!("{indexes:?} have the same state"), async || {
            let statuses = self.statuses(indexes).await?;
            let agreements: Vec<_> = statuses.iter().map(Status::agreement).collect();
            let Some(Some(first)) = agreements.first() else { return Err(format!("{statuses:?}")) };
            for (status, agreement) in statuses.iter().zip(agreements.iter().flatten()) {
                let differ = agreement.revision == first.revision && agreement.hash != first.hash;
                assert!(!differ, "same revision, other state: {status:?} and {first:?}");
            }
            let all = agreements.iter().all(|agreement| agreement.as_ref() == Some(first));
            if all { Ok(first.clone()) } else { Err(format!("{statuses:?}")) }
        })
        .await
    }

    /// Waits until the status of a node is as wanted.
    pub async fn wait_status(&self, index: usize, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        self.look(&format!("node {index} {what}"), async || {
            let status = self.status(index).await?;
            if wanted(&status) { Ok(status) } else { Err(format!("{status:?}")) }
        })
        .await
    }

    async fn statuses(&self, indexes: &[usize]) -> Result<Vec<Status>, String> {
        let mut statuses = Vec::with_capacity(indexes.len());
        for &index in indexes {
            statuses.push(self.status(index).await?);
        }
        Ok(statuses)
    }

    async fn look<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
        let start = Instant::now();
        loop {
            match look().await {
                Ok(value) => return value,
                Err(seen) if start.elapsed() > AGREEMENT_PATIENCE => {
                    panic!("gave up after {AGREEMENT_PATIENCE:?} waiting until {what}: {seen}")
                }
                Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    // === writes ===

    /// Writes until it is done, through whichever of these nodes takes it: for tests that need a write and do not mind
    /// how. The write must be safe to repeat.
    pub async fn write_through(&self, indexes: &[usize], request: crate::client::Request) {
        let mut turn = 0;
        wait::until_answered("a write is done", async || {
            turn += 1;
            match self.admin(indexes[turn % indexes.len()]).write(request.clone()).await {
                Write::Done(_) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

/// A node under the test's hands. Afterwards clients find it where it listens then, or not at all.
#[derive(Debug)]
pub struct NodeMut<'c> {
    cluster: &'c mut Cluster,
    index: usize,
}

impl Deref for NodeMut<'_> {
    type Target = Node;

    fn deref(&self) -> &Node {
        self.cluster.node(self.index)
    }
}

impl DerefMut for NodeMut<'_> {
    fn deref_mut(&mut self) -> &mut Node {
        let node = self.cluster.nodes[self.index].node.as_mut();
        node.unwrap_or_else(|| panic!("node {} was not started", self.index))
    }
}

impl Drop for NodeMut<'_> {
    fn drop(&mut self) {
        let address = if self.is_running() { Some(self.addr()) } else { None };
        self.cluster.addresses.set(self.index, address);
    }
}
