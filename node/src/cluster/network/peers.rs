//! What the client remembers of each address it calls: the counter, the peer's run, and the calls under way.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::call::Call;
use super::head::Run;

/// Addresses that are remembered; one costs a hundred bytes. A cluster has seven members at most, but addresses change.
const MAX_PEERS: usize = 1024;

/// Calls to one address that may be under way. A peer that hangs must not collect more.
const MAX_CALLS: usize = 256;

/// Those of them that are kept for Raft, so that clients' proposals cannot stop heartbeats and votes.
const KEPT_FOR_RAFT: usize = 64;

/// The peers, by address.
pub(super) struct Peers {
    /// The next sender's run: counted up from a random number, one for each peer, so that each peer sees dense
    /// counters.
    next: Cell<Run>,
    known: RefCell<HashMap<Box<str>, Rc<Peer>>>,
}

/// What is remembered of an address.
pub(super) struct Peer {
    sender: Run,
    counter: Cell<u64>,
    receiver: Cell<Run>,
    calls: Cell<usize>,
}

/// A call under way; it counts until this is dropped.
pub(super) struct Lease(Rc<Peer>);

/// Why there is no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LeaseError {
    #[error("too many calls to it wait already")]
    Calls,
    #[error("calls to {MAX_PEERS} addresses are under way")]
    Peers,
}

// === impl Peers ===

impl Peers {
    /// No peers. `run` is random: no other process ever had it, nor one of the numbers after it.
    pub(super) fn new(run: Run) -> Self {
        Self { next: Cell::new(run), known: RefCell::default() }
    }

    /// Begins a call to `address`.
    pub(super) fn lease(&self, address: &str, call: Call) -> Result<Lease, LeaseError> {
        let mut known = self.known.borrow_mut();
        if let Some(peer) = known.get(address) {
            return Lease::new(peer, call);
        }
        if known.len() >= MAX_PEERS {
            // A peer that is met again gets another run.
            known.retain(|_, peer| peer.calls.get() > 0);
            if known.len() >= MAX_PEERS {
                return Err(LeaseError::Peers);
            }
        }
        let sender = self.next.get();
        self.next.set(sender.wrapping_add(1));
        let peer =
            Rc::new(Peer { sender, counter: Cell::new(0), receiver: Cell::new(0), calls: Cell::new(0) });
        known.insert(address.into(), Rc::clone(&peer));
        Lease::new(&peer, call)
    }
}

// === impl Lease ===

impl Lease {
    fn new(peer: &Rc<Peer>, call: Call) -> Result<Self, LeaseError> {
        let kept = if call.is_raft() { 0 } else { KEPT_FOR_RAFT };
        if peer.calls.get() >= MAX_CALLS - kept {
            return Err(LeaseError::Calls);
        }
        peer.calls.set(peer.calls.get() + 1);
        Ok(Self(Rc::clone(peer)))
    }

    /// This node's run towards the peer.
    pub(super) fn sender(&self) -> Run {
        self.0.sender
    }

    /// The next counter of that run.
    pub(super) fn count(&self) -> u64 {
        let counter = self.0.counter.get() + 1;
        self.0.counter.set(counter);
        counter
    }

    /// The peer's run as it was last told; 0 if it was not.
    pub(super) fn receiver(&self) -> Run {
        self.0.receiver.get()
    }

    /// Remembers the peer's run.
    pub(super) fn learn(&self, receiver: Run) {
        self.0.receiver.set(receiver);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.calls.set(self.0.calls.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_peer_has_its_own_run_and_counter() {
        let peers = Peers::new(10);
        let lease = |address| peers.lease(address, Call::Vote).unwrap();
        let (one, two) = (lease("one:1"), lease("two:1"));
        assert_ne!(one.sender(), two.sender());
        assert_eq!((one.count(), one.count(), two.count()), (1, 2, 1));
        one.learn(5);
        drop(one);
        let again = lease("one:1");
        assert_eq!((again.receiver(), again.count(), two.receiver()), (5, 3, 0));
    }

    #[test]
    fn calls_are_bounded_and_proposals_leave_room_for_raft() {
        let peers = Peers::new(10);
        let lease = |call| peers.lease("one:1", call);
        let mut leases: Vec<_> =
            (0..MAX_CALLS - KEPT_FOR_RAFT).map(|_| lease(Call::Propose).unwrap()).collect();
        assert!(matches!(lease(Call::Propose), Err(LeaseError::Calls)));
        leases.extend((0..KEPT_FOR_RAFT).map(|_| lease(Call::Append).unwrap()));
        assert!(matches!(lease(Call::Append), Err(LeaseError::Calls)));
        leases.pop();
        lease(Call::Vote).unwrap();
    }

    #[test]
    fn peers_are_bounded_and_a_forgotten_one_gets_another_run() {
        let peers = Peers::new(10);
        let lease = |address: &str| peers.lease(address, Call::Vote);
        let first = lease("one:1").unwrap().sender();
        let leases: Vec<_> = (0..MAX_PEERS).map(|port| lease(&format!("two:{port}")).unwrap()).collect();
        assert!(matches!(lease("three:1"), Err(LeaseError::Peers)));
        drop(leases);
        assert_ne!(lease("one:1").unwrap().sender(), first);
    }
}
