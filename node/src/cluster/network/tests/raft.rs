//! Raft's requests, from openraft's network on one node to a service on another.

use std::future::pending;

use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError};
use openraft::network::{RPCOption, RaftNetwork as _, RaftNetworkFactory as _};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{CommittedLeaderId, Entry, EntryPayload, LogId, Snapshot, SnapshotMeta, Vote};

use super::*;
use crate::cluster::codec::{decode, encode};
use crate::cluster::network::raft::{Connection, encode_snapshot};
use crate::cluster::types::{Member, Proposal, TypeConfig};

const HEARTBEAT: Duration = Duration::from_millis(100);

fn option() -> RPCOption {
    RPCOption::new(HANG)
}

fn log_id(index: u64) -> LogId<u64> {
    LogId::new(CommittedLeaderId::new(3, 1), index)
}

fn entry(index: u64, text: String) -> Entry<TypeConfig> {
    Entry { log_id: log_id(index), payload: EntryPayload::Normal(Proposal { text }) }
}

fn append(entries: Vec<Entry<TypeConfig>>) -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        vote: Vote::new_committed(3, 1),
        prev_log_id: Some(log_id(6)),
        entries,
        leader_commit: None,
    }
}

fn snapshot(data: Vec<u8>) -> Snapshot<TypeConfig> {
    let meta =
        SnapshotMeta { last_log_id: Some(log_id(9)), snapshot_id: "nine".to_owned(), ..Default::default() };
    Snapshot { meta, snapshot: Box::new(data) }
}

/// A Raft that says yes to what the tests send.
fn agree(incoming: &Incoming) -> Result<Vec<u8>, ServiceError> {
    let vote = Vote::<u64>::new(4, 2);
    Ok(match incoming.call {
        Call::Append => {
            let request: AppendEntriesRequest<TypeConfig> = decode(&incoming.body)?;
            assert_eq!(request.prev_log_id, Some(log_id(6)));
            let last = request.entries.last().map(|entry| entry.log_id);
            encode(&Ok::<_, RaftError<u64>>(AppendEntriesResponse::PartialSuccess(last)))?
        }
        Call::Vote => {
            let request: VoteRequest<u64> = decode(&incoming.body)?;
            let response = VoteResponse { vote: request.vote, vote_granted: true, last_log_id: None };
            encode(&Ok::<_, RaftError<u64>>(response))?
        }
        Call::Snapshot => {
            let (_, snapshot) = decode_snapshot(&incoming.body)?;
            assert_eq!(snapshot.meta.snapshot_id, "nine");
            assert_eq!(snapshot.snapshot.len(), 3_000_000);
            encode(&Ok::<_, Fatal<u64>>(SnapshotResponse::new(vote)))?
        }
        other => panic!("{other:?}"),
    })
}

fn connect(node: &Node) -> Connection {
    let mut network = Network::new(Some(client(place("home", 1))), HEARTBEAT);
    run(network.new_client(2, &Member { address: node.address() }))
}

fn peer(answer: fn(&Incoming) -> Result<Vec<u8>, ServiceError>) -> Node {
    let service = Answer(move |incoming: Incoming| async move { answer(&incoming) }.boxed());
    Node::with(place("home", 2), service, None)
}

#[test]
fn raft_requests_reach_the_other_raft_and_answers_come_back() {
    let node = peer(agree);
    let mut connection = connect(&node);
    run(async {
        let entries = vec![entry(7, "seven".to_owned()), entry(8, "{\"any\": [1.5, null]}".to_owned())];
        let response = connection.append_entries(append(entries), option()).await.unwrap();
        assert_eq!(response, AppendEntriesResponse::PartialSuccess(Some(log_id(8))));

        let request = VoteRequest { vote: Vote::new(5, 1), last_log_id: Some(log_id(8)) };
        let response = connection.vote(request, option()).await.unwrap();
        assert!(response.vote_granted && response.vote == Vote::new(5, 1));

        let snapshot = snapshot(vec![7; 3_000_000]);
        let response =
            connection.full_snapshot(Vote::new(5, 1), snapshot, pending(), option()).await.unwrap();
        assert_eq!(response.vote, Vote::new(4, 2));
    });
}

#[test]
fn a_snapshot_is_its_bytes_again_and_nothing_less_is() {
    let (vote, whole) = (Vote::new(5, 1), snapshot(vec![1, 2, 3]));
    let bytes = encode_snapshot(&vote, &whole.meta, &whole.snapshot).unwrap();
    let (other, again) = decode_snapshot(&bytes).unwrap();
    assert_eq!((other, again.meta, again.snapshot), (vote, whole.meta, whole.snapshot));
    for end in 0..bytes.len() - 3 {
        assert!(decode_snapshot(&bytes[..end]).is_err(), "{end}");
    }
}

#[test]
fn the_other_rafts_failure_is_told() {
    let node = peer(|incoming| {
        Ok(match incoming.call {
            Call::Snapshot => encode(&Err::<SnapshotResponse<u64>, _>(Fatal::<u64>::Stopped))?,
            _ => encode(&Err::<VoteResponse<u64>, _>(RaftError::<u64>::Fatal(Fatal::Panicked)))?,
        })
    });
    let mut connection = connect(&node);
    run(async {
        let request = VoteRequest { vote: Vote::new(5, 1), last_log_id: None };
        let error = connection.vote(request, option()).await.unwrap_err();
        let RPCError::RemoteError(error) = error else { panic!("{error:?}") };
        assert_eq!((error.target, error.source), (2, RaftError::Fatal(Fatal::Panicked)));

        let sent = connection.full_snapshot(Vote::new(5, 1), snapshot(Vec::new()), pending(), option());
        let error = sent.await.unwrap_err();
        assert!(matches!(error, StreamingError::RemoteError(_)), "{error:?}");
    });
}

#[test]
fn who_cannot_be_reached_or_refuses_is_left_alone_for_a_while() {
    let node = peer(agree);
    let mut connection = connect(&node);
    drop(node);
    let mut refused = connect(&Node::start(place("away", 2)));
    let other = Node::start(place("away", 2));
    let mut misdirected = connect(&other);
    run(async {
        for connection in [&mut connection, &mut refused, &mut misdirected] {
            let error = connection.append_entries(append(Vec::new()), option()).await.unwrap_err();
            assert!(matches!(error, RPCError::Unreachable(_)), "{error:?}");
        }
    });
    let pauses: Vec<u128> = connection.backoff().take(7).map(|pause| pause.as_millis()).collect();
    assert_eq!(pauses, [50, 100, 200, 400, 500, 500, 500]);
    assert_eq!(other.rejected(Reason::Cluster), 1);
}

#[test]
fn a_silent_raft_times_out_and_a_snapshot_can_be_cancelled() {
    let node = Node::with(place("home", 2), Answer(|_| pending().boxed()), None);
    let mut connection = connect(&node);
    run(async {
        let short = RPCOption::new(Duration::from_millis(50));
        let error = connection.append_entries(append(Vec::new()), short.clone()).await.unwrap_err();
        assert!(matches!(error, RPCError::Timeout(_)), "{error:?}");
        let sent = connection.full_snapshot(Vote::new(5, 1), snapshot(Vec::new()), pending(), short);
        let error = sent.await.unwrap_err();
        assert!(matches!(error, StreamingError::Timeout(_)), "{error:?}");

        let cancel = async { ReplicationClosed::new("the test ends it") };
        let sent = connection.full_snapshot(Vote::new(5, 1), snapshot(Vec::new()), cancel, option());
        let error = sent.await.unwrap_err();
        assert!(matches!(error, StreamingError::Closed(_)), "{error:?}");
    });
}

#[test]
fn entries_that_are_too_long_together_are_to_be_split() {
    let node = peer(agree);
    let mut connection = connect(&node);
    let text = "x".repeat(4 * 1024 * 1024);
    let entries: Vec<_> = (7..12).map(|index| entry(index, text.clone())).collect();
    run(async {
        let error = connection.append_entries(append(entries.clone()), option()).await.unwrap_err();
        let RPCError::PayloadTooLarge(error) = error else { panic!("{error:?}") };
        assert_eq!(error.entries_hint(), 2);
        connection.append_entries(append(entries[..2].to_vec()), option()).await.unwrap();
    });
}
