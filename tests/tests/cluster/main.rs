//! The cluster as its clients and its operator meet it: three real nodes or more, over their sockets, while nodes are
//! killed, cut off, wiped, added and removed. Every test ends with the same state on all nodes, to the bit.
//!
//! | file | what it proves |
//! |---|---|
//! | `forming` | one cluster, whatever the order of the first starts; joining; foreign nodes |
//! | `writing` | writes on any node are on all, in one order; read-your-writes; compare-and-swap |
//! | `leader_loss` | killed, stopped, cut-off leaders |
//! | `quorum_loss` | what goes on without a quorum, and what a write is told |
//! | `membership` | adding, replacing and removing nodes |
//! | `durability` | restarts, snapshots, purged logs, backups, directories |
//! | `listener` | what the nodes' own listener does with strangers |
//! | `tls` | certificates on both sides |
//! | `kill_nine` | acknowledged writes survive kills at any instant (`ledger`, `writer`) |
//! | `linearizable` | what clients see is linearizable (`register`, judged in `judge`) |
//!
//! The pitfalls of Raft in practice, which were met in a prototype, and where each is tested. Those of the store and of
//! pure code have their tests beside the code.
//!
//! | pitfall | test |
//! |---|---|
//! | 1 a lone leader never answers; a lone node must serve | `quorum_loss::a_write_without_a_quorum_is_answered_and_its_outcome_is_honest`, `quorum_loss::a_node_that_restarts_alone_serves_from_its_disk` |
//! | 2 a wiped disk with its old id | `membership::a_wiped_node_comes_back_as_a_new_one_and_its_old_id_has_no_vote` |
//! | 3 ids are never used again | `membership::ids_are_never_used_again` |
//! | 4 bootstrap | `forming::*_is_one_cluster` |
//! | 5 silent merges | `forming::a_node_of_another_cluster_is_not_merged` |
//! | 6 adding a node that is not there hangs; changes at the same time | `membership::adding_a_node_that_is_not_there_ends_and_leaves_nothing`, `membership::changes_at_the_same_time_leave_a_plain_membership` |
//! | 7 one-step removal leaves a candidate | `membership::a_removed_node_says_so_and_is_no_candidate` |
//! | 8 a follower returns with a higher term | `leader_loss::a_follower_that_was_cut_off_returns_without_harm` |
//! | 9 handing leadership over | `leader_loss::a_leader_that_is_stopped_hands_over_first`, `leader_loss::leadership_goes_where_it_is_sent` |
//! | 10 a cut-off leader reads stale state | `quorum_loss::a_cut_off_leader_answers_no_quorum_reads`, `linearizable` |
//! | 11 acknowledged before durable | `kill_nine`, `durability::writes_survive_the_death_of_all_nodes_at_once` |
//! | 12 state, log and membership in one | `kill_nine`, `durability::membership_survives_restarts` |
//! | 13 snapshots while applying | `durability::a_late_joiner_catches_up_from_a_snapshot` |
//! | 14 readers must not stall the core | `writing::every_write_is_seen_at_once_on_the_node_that_took_it` reads the status all the time |
//! | 15 unreachable nodes, bounded retries | `quorum_loss::without_a_leader_writes_are_refused_and_say_why` |
//! | 16 the listener needs a secret | `listener` |
//! | 17 unknown commands are no faults | unit tests of `protocol::cluster` |
//! | 18 apply is deterministic | the same hash at the end of every test |
//! | 19 tests wait on conditions | `ollamaflow_tests::cluster` |
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap fails the test, which is what is wanted"
)]

mod durability;
mod forming;
mod judge;
mod kill_nine;
mod leader_loss;
mod ledger;
mod linearizable;
mod listener;
mod membership;
mod quorum_loss;
mod register;
mod tls;
mod writer;
mod writing;

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::{Admin, Cluster, Consistency, Write, etag};
use serde_json::{Value, json};

/// How much is to be done: the value of an environment variable, or the default.
fn scale(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|e| panic!("{variable}={text}: {e}")),
        Err(_) => default,
    }
}

/// A backend that takes no part, so that nothing probes it.
fn resting(id: &str) -> Value {
    json!({ "Identifier": id, "Name": id, "Active": false })
}

/// The request that creates it.
fn creation(id: &str) -> Request {
    Request::new("PUT", "/v1.0/backends").json(&resting(id))
}

/// The request that puts it there, however often it is sent: by the whole catalog, which knows no duplicates.
fn renaming(id: &str, name: &str) -> Request {
    Request::new("PUT", &format!("/v1.0/backends/{id}")).json(&json!({ "Name": name }))
}

/// Creates a backend through a node; its revision. A disk that stalls, or an election, may leave the first attempt
/// without an answer: then it is looked up whether it was made.
async fn create(cluster: &Cluster, node: usize, id: &str) -> u64 {
    let what = format!("node {node} creates {id}");
    let made = ollamaflow_tests::wait::until_answered(&what, async || {
        let mut admin = cluster.admin(node);
        match admin.write(creation(id)).await {
            Write::Done(answer) => Ok(etag(&answer)),
            Write::Refused(answer) if answer.status() == 409 => {
                let made = admin.read(&format!("/v1.0/backends/{id}"), Consistency::Linearizable).await?;
                Ok(made["Revision"].as_u64())
            }
            other => Err(format!("{other:?}")),
        }
    });
    made.await.unwrap()
}

/// The identifiers of all backends, as a node has them.
async fn backends(admin: &mut Admin, consistency: Consistency) -> Result<Vec<String>, String> {
    let listed = admin.read("/v1.0/backends", consistency).await?;
    let listed = listed.as_array().ok_or_else(|| format!("no list: {listed}"))?;
    let identifiers = listed.iter().filter_map(|backend| backend["Identifier"].as_str());
    Ok(identifiers.map(str::to_owned).collect())
}

/// Waits until a node has a backend.
async fn wait_present(cluster: &Cluster, node: usize, id: &str) {
    ollamaflow_tests::wait::until_answered(&format!("node {node} has {id}"), async || {
        let listed = backends(&mut cluster.admin(node), Consistency::Local).await.unwrap_or_default();
        if listed.iter().any(|listed| listed == id) { Ok(()) } else { Err(format!("{listed:?}")) }
    })
    .await;
}

/// The last changes, as a node has them, newest first.
async fn history(admin: &mut Admin) -> Vec<Value> {
    let history = admin.read("/v1.0/history", Consistency::Local).await.unwrap();
    history.as_array().unwrap_or_else(|| panic!("no list: {history}")).clone()
}

/// Each revision is there once, without gaps.
fn assert_dense(history: &[Value]) {
    let revisions: Vec<u64> = history.iter().map(|change| change["Revision"].as_u64().unwrap()).collect();
    assert!(!revisions.is_empty());
    assert!(revisions.windows(2).all(|pair| pair[0] == pair[1] + 1), "{revisions:?}");
}
