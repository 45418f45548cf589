//! What the consensus puts on the disk, counted: how far the log is agreed on, and how elections went.
//!
//! openraft tells its state, from which an election that was lost between two looks is missing. Each vote passes here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ollamaflow_protocol::cluster::NodeId;
use openraft::Vote;

/// Counts of one node since its start. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Marks(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    own: AtomicU64,
    committed: AtomicU64,
    candidacies: AtomicU64,
    leaders: AtomicU64,
    /// The leader that was acknowledged last; 0 for none, for ids begin at 1.
    leader: AtomicU64,
}

// === Marks ===

impl Marks {
    /// The node has this id.
    pub fn belong_to(&self, id: NodeId) {
        self.0.own.store(id, Ordering::Relaxed);
    }

    /// The last index that is known to be agreed on; 0 for none.
    pub fn committed(&self) -> u64 {
        self.0.committed.load(Ordering::Relaxed)
    }

    /// Elections that this node has started.
    pub fn elections(&self) -> u64 {
        self.0.candidacies.load(Ordering::Relaxed)
    }

    /// How often this node has had another leader than before; the first one counts.
    pub fn leader_changes(&self) -> u64 {
        self.0.leaders.load(Ordering::Relaxed)
    }

    pub(super) fn has_committed(&self, index: u64) {
        self.0.committed.fetch_max(index, Ordering::Relaxed);
    }

    /// The node votes, or acknowledges who was elected. Only one task votes.
    pub(super) fn votes(&self, vote: &Vote<NodeId>) {
        let voted_for = vote.leader_id.node_id;
        if !vote.committed {
            if voted_for == self.0.own.load(Ordering::Relaxed) {
                self.0.candidacies.fetch_add(1, Ordering::Relaxed);
            }
        } else if self.0.leader.swap(voted_for, Ordering::Relaxed) != voted_for {
            self.0.leaders.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_candidacies_and_other_leaders_are_counted() {
        let marks = Marks::default();
        marks.belong_to(1);
        for (term, node) in [(1, 1), (2, 1), (3, 2)] {
            marks.votes(&Vote::new(term, node));
        }
        assert_eq!((marks.elections(), marks.leader_changes()), (2, 0));
        // The second one wins twice: no change of the leader.
        for (term, node) in [(3, 2), (4, 2), (5, 1)] {
            marks.votes(&Vote::new_committed(term, node));
        }
        assert_eq!((marks.elections(), marks.leader_changes()), (2, 2));
    }

    #[test]
    fn what_is_agreed_on_stays_so() {
        let marks = Marks::default();
        marks.has_committed(7);
        marks.has_committed(5);
        assert_eq!(marks.committed(), 7);
    }
}
