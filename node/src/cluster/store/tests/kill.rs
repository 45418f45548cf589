//! `kill -9` at any instant: a node that writes as fast as it can, in a process of its own, loses nothing that it
//! has confirmed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ollamaflow_protocol::cluster::{Applied, ClusterState, Command, NodeId, Precondition};
use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{
    Config, EntryPayload, OptionalSend, Raft, RaftLogReader as _, Snapshot, SnapshotPolicy, Vote,
};

use super::{blobs, named, normal, open, seed};
use crate::cluster::store::machine::Applying;
use crate::cluster::types::{Member, Proposal, TypeConfig};

/// Where the child keeps its store.
const DIRECTORY: &str = "OLLAMAFLOW_TEST_STORE";

/// Backends that the child writes in turn.
const BACKENDS: u64 = 20;

/// A write that was confirmed: the revision it made is its name.
type Confirmed = BTreeSet<u64>;

// === the parent ===

/// Kills a writing child `rounds` times and looks at what it left each time.
async fn kill_repeatedly(rounds: u32, longest: Duration) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..rounds {
        let confirmed = write_and_die(directory.path(), longest.mul_f64(fastrand::f64()));
        last = confirmed.last().copied().unwrap_or(0).max(last);
        let state = state_of(directory.path()).await;
        assert!(state.revision() >= last, "round {round}: revision {} after {last}", state.revision());
        for revision in confirmed {
            let id = format!("b{}", revision % BACKENDS);
            let name = &state.catalog().backends[id.as_str()].name;
            let found: u64 = name.split('-').next().unwrap().parse().unwrap();
            assert!(found >= revision, "round {round}: {id} is from {found}, not from {revision} or later");
        }
        assert_eq!(blobs(directory.path()), 0);
    }
    last
}

/// Runs the child for a while; answers what it confirmed.
fn write_and_die(directory: &Path, time: Duration) -> Confirmed {
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "cluster::store::tests::kill::writes_until_it_is_killed", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reading = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        lines.filter_map(|line| line.strip_prefix("confirmed ")?.parse().ok()).collect::<Confirmed>()
    });
    std::thread::sleep(time);
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it must not have ended before");
    reading.join().unwrap()
}

/// The state with everything in the log, agreed on or not: a cluster of one agrees with itself.
async fn state_of(directory: &Path) -> ClusterState {
    let mut parts = open(directory);
    let current = parts.state.current();
    let mut applying = Applying { state: current.state.clone(), ..Applying::default() };
    let from = if current.index == 0 { 0 } else { current.index + 1 };
    for entry in parts.log.try_get_log_entries(from..).await.unwrap() {
        if matches!(entry.payload, EntryPayload::Normal(_)) {
            applying.apply(entry);
        }
    }
    applying.state
}

#[tokio::test]
async fn nothing_confirmed_is_lost_by_kill_9() {
    kill_repeatedly(20, Duration::from_millis(900)).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn nothing_confirmed_is_lost_by_kill_9_two_hundred_times() {
    let last = kill_repeatedly(200, Duration::from_millis(1500)).await;
    println!("{last} writes confirmed in 200 lives");
}

// === the child ===

/// Not a test: the child. Does nothing unless it is told where.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let parts = open(Path::new(&directory));
    let config = Config {
        heartbeat_interval: 20,
        election_timeout_min: 40,
        election_timeout_max: 80,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(50),
        max_in_snapshot_log_to_keep: 10,
        purge_batch_size: 1,
        ..Config::default()
    };
    let state = parts.state.clone();
    let raft = Raft::new(1, Arc::new(config), Nobody, parts.log, parts.machine).await.unwrap();
    if !raft.is_initialized().await.unwrap() {
        raft.initialize(BTreeMap::from([(1, Member::default())])).await.unwrap();
    }
    raft.wait(None).current_leader(1, "leads itself").await.unwrap();
    if state.current().state.cluster_id().is_none() {
        // Refused if the seed is in the log already.
        let _ = write(&raft, seed(0).payload).await;
    }
    // Refused always; when it is applied, so is everything before it.
    let nothing =
        Command::DeleteBackend { id: "none".parse().unwrap(), expect: Precondition::Any, force: false };
    assert_eq!(write(&raft, normal(1, nothing).payload).await, None);
    let mut revision = state.current().state.revision();
    loop {
        revision += 1;
        // Now and then one that takes several parts.
        let name = format!("{revision}-{}", "x".repeat(if revision.is_multiple_of(7) { 50_000 } else { 50 }));
        let entry = named(fastrand::u64(2..), revision % BACKENDS, name);
        let applied = write(&raft, entry.payload).await;
        assert_eq!(applied.map(|applied| applied.revision), Some(revision));
        writeln!(std::io::stdout(), "confirmed {revision}").unwrap();
    }
}

async fn write(raft: &Raft<TypeConfig>, payload: EntryPayload<TypeConfig>) -> Option<Applied> {
    let EntryPayload::Normal(Proposal { text }) = payload else { panic!("no proposal") };
    raft.client_write(Proposal { text }).await.unwrap().data.outcome.unwrap().ok()
}

/// The network of a cluster of one.
struct Nobody;

impl RaftNetworkFactory<TypeConfig> for Nobody {
    type Network = Self;

    async fn new_client(&mut self, _: NodeId, _: &Member) -> Self {
        Self
    }
}

impl RaftNetwork<TypeConfig> for Nobody {
    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RPCError<NodeId, Member, RaftError<NodeId>>> {
        Err(RPCError::Unreachable(nobody()))
    }

    async fn vote(
        &mut self,
        _: VoteRequest<NodeId>,
        _: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RPCError<NodeId, Member, RaftError<NodeId>>> {
        Err(RPCError::Unreachable(nobody()))
    }

    async fn full_snapshot(
        &mut self,
        _: Vote<NodeId>,
        _: Snapshot<TypeConfig>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        Err(StreamingError::Unreachable(nobody()))
    }
}

fn nobody() -> Unreachable {
    Unreachable::new(&std::io::Error::other("a cluster of one has no peers"))
}
