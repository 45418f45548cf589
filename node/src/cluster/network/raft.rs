//! Raft's requests as calls: openraft's network, and the bytes of both sides.
//!
//! `Append` and `Vote` carry openraft's request and answer `Result<_, RaftError<NodeId>>`, both by the
//! [codec](crate::cluster::codec). `Snapshot` carries what [`encode_snapshot`] makes and answers
//! `Result<SnapshotResponse<NodeId>, Fatal<NodeId>>`.

use std::future::Future;
use std::time::Duration;

use ollamaflow_protocol::cluster::NodeId;
use openraft::error::{
    Fatal, PayloadTooLarge, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RPCTypes, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot, SnapshotMeta, Vote};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::Call;
use super::client::PeerClient;
use super::message::{CallError, Target};
use crate::cluster::codec::{self, CodecError};
use crate::cluster::types::{Member, TypeConfig};

/// First pause after a peer could not be reached, in heartbeats' halves.
const FIRST_PAUSE: u32 = 1;

/// Longest pause between attempts to reach a peer, in heartbeats' halves: 500 ms with 100 ms heartbeats.
const LONGEST_PAUSE: u32 = 10;

type RaftRpcError<E> = RPCError<NodeId, Member, E>;

/// The network as openraft sees it: makes one [`Connection`] for each peer.
#[derive(Clone)]
pub struct Network {
    client: Option<PeerClient>,
    heartbeat: Duration,
}

/// Raft's calls to one peer.
pub struct Connection {
    client: Option<PeerClient>,
    target: Target,
    node: NodeId,
    heartbeat: Duration,
}

// === impl Network ===

impl Network {
    /// The network over `client`; without one no peer can be reached. Peers that cannot be reached are tried again after half a heartbeat, later after
    /// five.
    pub fn new(client: Option<PeerClient>, heartbeat: Duration) -> Self {
        Self { client, heartbeat }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: NodeId, node: &Member) -> Connection {
        Connection {
            client: self.client.clone(),
            target: Target { address: node.address.clone(), node: Some(target) },
            node: target,
            heartbeat: self.heartbeat,
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Makes a call whose answer is a `Result` of the peer's Raft.
    async fn ask<A, E>(&self, call: Call, body: Vec<u8>, limit: Duration) -> Result<A, RaftRpcError<E>>
    where
        A: DeserializeOwned,
        E: std::error::Error + DeserializeOwned,
    {
        let Some(client) = &self.client else {
            let error = CallError::Unreachable("this node has no cluster listener".to_owned());
            return Err(RPCError::Unreachable(Unreachable::new(&error)));
        };
        let answer = client.call(&self.target, call, body, limit).await;
        let answer = answer.map_err(|error| self.lost(error, call, limit))?;
        let answer: Result<A, E> = codec::decode(&answer).map_err(|error| Unreachable::new(&error))?;
        answer.map_err(|error| RPCError::RemoteError(RemoteError::new(self.node, error)))
    }

    /// Why a call has no answer. All but timeouts call for a pause: a peer that refuses would refuse again at once.
    fn lost<E: std::error::Error>(&self, error: CallError, call: Call, limit: Duration) -> RaftRpcError<E> {
        match error {
            CallError::Timeout => RPCError::Timeout(self.timeout(call, limit)),
            other => RPCError::Unreachable(Unreachable::new(&other)),
        }
    }

    fn timeout(&self, call: Call, limit: Duration) -> openraft::error::Timeout<NodeId> {
        let action = match call {
            Call::Vote => RPCTypes::Vote,
            Call::Snapshot => RPCTypes::InstallSnapshot,
            _ => RPCTypes::AppendEntries,
        };
        // The caller's own id is not known here, and is only shown.
        openraft::error::Timeout { action, id: 0, target: self.node, timeout: limit }
    }
}

impl RaftNetwork<TypeConfig> for Connection {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RaftRpcError<RaftError<NodeId>>> {
        let body = encode(&request)?;
        if body.len() as u64 > Call::Append.max_body() && request.entries.len() > 1 {
            let half = request.entries.len() as u64 / 2;
            return Err(RPCError::PayloadTooLarge(PayloadTooLarge::new_entries_hint(half)));
        }
        self.ask(Call::Append, body, option.hard_ttl()).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RaftRpcError<RaftError<NodeId>>> {
        self.ask(Call::Vote, encode(&request)?, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<NodeId>,
        snapshot: Snapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<TypeConfig, Fatal<NodeId>>> {
        let body = encode_snapshot(&vote, &snapshot.meta, &snapshot.snapshot)
            .map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))?;
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            answer = self.ask(Call::Snapshot, body, option.hard_ttl()) => answer.map_err(streaming),
        }
    }

    fn backoff(&self) -> Backoff {
        let half = self.heartbeat / 2;
        let pauses = std::iter::successors(Some(FIRST_PAUSE), |pause| Some((pause * 2).min(LONGEST_PAUSE)));
        Backoff::new(pauses.map(move |pause| half * pause))
    }
}

/// The bytes of a `Snapshot` call: the length of the head, the head, and the data as it is.
pub fn encode_snapshot(
    vote: &Vote<NodeId>,
    meta: &SnapshotMeta<NodeId, Member>,
    data: &[u8],
) -> Result<Vec<u8>, CodecError> {
    let head = codec::encode(&(vote, meta))?;
    let mut body = Vec::with_capacity(size_of::<u64>() + head.len() + data.len());
    body.extend_from_slice(&(head.len() as u64).to_be_bytes());
    body.extend_from_slice(&head);
    body.extend_from_slice(data);
    Ok(body)
}

/// The vote and the snapshot of the bytes that [`encode_snapshot`] made.
pub fn decode_snapshot(body: &[u8]) -> Result<(Vote<NodeId>, Snapshot<TypeConfig>), CodecError> {
    let (length, rest) = body.split_first_chunk().ok_or(CodecError::Empty)?;
    let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let (head, data) = rest.split_at_checked(length).ok_or(CodecError::Empty)?;
    let (vote, meta) = codec::decode(head)?;
    Ok((vote, Snapshot { meta, snapshot: Box::new(data.to_vec()) }))
}

fn encode(request: &impl Serialize) -> Result<Vec<u8>, Unreachable> {
    codec::encode(request).map_err(|error| Unreachable::new(&error))
}

fn streaming(error: RaftRpcError<Fatal<NodeId>>) -> StreamingError<TypeConfig, Fatal<NodeId>> {
    match error {
        RPCError::Timeout(timeout) => StreamingError::Timeout(timeout),
        RPCError::Unreachable(unreachable) => StreamingError::Unreachable(unreachable),
        RPCError::PayloadTooLarge(too_large) => StreamingError::Unreachable(Unreachable::new(&too_large)),
        RPCError::Network(network) => StreamingError::Network(network),
        RPCError::RemoteError(remote) => StreamingError::RemoteError(remote),
    }
}
