//! The calls: their paths, their longest bodies, and who may make them.

/// Longest body of a call that carries a few fields only.
const SMALL: u64 = 64 * 1024;

/// Longest answer to any call: what a proposal may carry, and room for more.
pub(super) const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// What one node may ask of another. Each has a path, a longest body and whether it may come from a node without a
/// cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Who are you, and what do you have?
    Hello,
    /// Take me into your cluster.
    Join,
    /// Raft: log entries, or a heartbeat.
    Append,
    /// Raft: a request for a vote.
    Vote,
    /// Raft: a whole snapshot.
    Snapshot,
    /// A command for the leader.
    Propose,
    /// The index that a linearizable read must wait for.
    ReadIndex,
    /// A change of the membership, for the leader.
    Membership,
    /// Stand for election now.
    Elect,
    /// Come into my cluster.
    Invite,
    /// You may want to know.
    Note,
    /// What do you know?
    Ask,
}

// === Call ===

impl Call {
    /// All calls.
    pub const ALL: [Self; 12] = [
        Self::Hello,
        Self::Join,
        Self::Append,
        Self::Vote,
        Self::Snapshot,
        Self::Propose,
        Self::ReadIndex,
        Self::Membership,
        Self::Elect,
        Self::Invite,
        Self::Note,
        Self::Ask,
    ];

    /// The path of the request. `1` is the version of the transport.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Hello => "/peer/1/hello",
            Self::Join => "/peer/1/join",
            Self::Append => "/peer/1/append",
            Self::Vote => "/peer/1/vote",
            Self::Snapshot => "/peer/1/snapshot",
            Self::Propose => "/peer/1/propose",
            Self::ReadIndex => "/peer/1/read-index",
            Self::Membership => "/peer/1/membership",
            Self::Elect => "/peer/1/elect",
            Self::Invite => "/peer/1/invite",
            Self::Note => "/peer/1/note",
            Self::Ask => "/peer/1/ask",
        }
    }

    /// The call of a path.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|call| call.path() == path)
    }

    /// Longest body, in bytes.
    pub const fn max_body(self) -> u64 {
        match self {
            Self::Append => 16 * 1024 * 1024,
            Self::Snapshot => 64 * 1024 * 1024,
            Self::Propose => 5 * 1024 * 1024,
            Self::Hello
            | Self::Join
            | Self::Vote
            | Self::ReadIndex
            | Self::Membership
            | Self::Elect
            | Self::Invite
            | Self::Note
            | Self::Ask => SMALL,
        }
    }

    /// Whether it is one of Raft's own, on which the cluster's life depends.
    pub(super) const fn is_raft(self) -> bool {
        matches!(self, Self::Append | Self::Vote | Self::Snapshot | Self::Elect)
    }

    /// Whether the client may send it a second time when a connection broke. The receiver may have done what the first
    /// copy asked for, and the answer to the second one would not tell: where that matters the caller must know.
    pub(super) const fn is_sent_again(self) -> bool {
        !matches!(self, Self::Propose | Self::Membership)
    }

    /// Whether it may come from, and go to, a node that has no cluster, and mean whoever listens at an address.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Hello | Self::Join | Self::Invite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_a_path_of_its_own() {
        for call in Call::ALL {
            assert_eq!(Call::of_path(call.path()), Some(call));
        }
        assert_eq!(Call::of_path("/peer/1/"), None);
        assert_eq!(Call::of_path("/peer/2/hello"), None);
    }
}
