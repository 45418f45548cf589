//! How many requests ended how: each one that was let in is counted once.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::wire::Usage;

use super::account::Account;
use crate::keys::{KeyEnd, Pass};

/// Tokens that a request may have cost at most. A backend that tells of more counts wrongly, and the totals must not wrap.
const MOST_TOKENS: u64 = u32::MAX as u64;

/// The end of a client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has a whole answer, which is no error.
    Complete,
    /// It was told of an error, by status or by the last frame of a stream; or its connection was cut.
    Error,
    /// It went away.
    Cancelled,
}

/// The counts of a node.
#[derive(Debug, Default)]
pub struct Tally {
    ends: [AtomicU64; End::ALL.len()],
    resumed: AtomicU64,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
}

/// One request that has not ended yet. Dropping it counts a client that went away.
#[derive(Debug)]
pub(super) struct Counted {
    tally: Arc<Tally>,
    end: End,
    account: Option<Rc<Account>>,
    /// Its hold on the virtual key that it came with.
    pass: Option<Box<Pass>>,
}

// === impl End ===

impl End {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Complete, Self::Error, Self::Cancelled];

    /// The value of the metric's label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<End> for KeyEnd {
    fn from(end: End) -> Self {
        match end {
            End::Complete => Self::Complete,
            End::Error => Self::Error,
            End::Cancelled => Self::Cancelled,
        }
    }
}

// === impl Tally ===

impl Tally {
    /// Requests that ended so.
    pub(crate) fn count(&self, end: End) -> u64 {
        self.ends[end as usize].load(Ordering::Relaxed)
    }

    /// Streams that went on at another backend.
    pub(crate) fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    /// Tokens of prompts and of answers, as far as backends have told.
    pub(crate) fn tokens(&self) -> (u64, u64) {
        (self.prompt_tokens.load(Ordering::Relaxed), self.completion_tokens.load(Ordering::Relaxed))
    }

    /// A request was let in.
    pub(super) fn begin(self: &Arc<Self>, account: Option<&Rc<Account>>, pass: Option<Box<Pass>>) -> Counted {
        Counted { tally: self.clone(), end: End::Cancelled, account: account.cloned(), pass }
    }
}

// === impl Counted ===

impl Counted {
    /// Says how the request ends; the last word counts.
    pub(super) fn end(&mut self, end: End) {
        self.end = end;
    }

    /// The same of a request that is answered here, and is counted at once.
    pub(super) fn settle(counted: &mut Option<Self>, end: End) {
        if let Some(mut counted) = counted.take() {
            counted.end(end);
        }
    }

    /// The model that it names.
    pub(super) fn model(&self, name: Option<&str>) {
        if let (Some(pass), Some(name)) = (&self.pass, name) {
            pass.model(name);
        }
    }

    /// Its key does not let it in, as its body shows.
    pub(super) fn refused(&self) {
        if let Some(pass) = &self.pass {
            pass.end(KeyEnd::Refused);
        }
    }

    /// What the request cost.
    pub(super) fn used(&self, usage: Usage) {
        let add = |total: &AtomicU64, tokens: Option<u64>| {
            if let Some(tokens) = tokens.filter(|tokens| *tokens <= MOST_TOKENS) {
                total.fetch_add(tokens, Ordering::Relaxed);
            }
        };
        if let Some(pass) = &self.pass {
            let known =
                |tokens: Option<u64>| tokens.filter(|tokens| *tokens <= MOST_TOKENS).unwrap_or_default();
            pass.used(known(usage.prompt), known(usage.completion));
        }
        add(&self.tally.prompt_tokens, usage.prompt);
        add(&self.tally.completion_tokens, usage.completion);
        if let Some(account) = &self.account {
            account.used(usage);
        }
    }

    /// The stream has gone on at another backend.
    pub(super) fn resumed(&self, at: &BackendId) {
        self.tally.resumed.fetch_add(1, Ordering::Relaxed);
        if let Some(account) = &self.account {
            account.resumed(at);
        }
    }

    /// The answer broke off.
    pub(super) fn broke(&self, why: &'static str) {
        if let Some(account) = &self.account {
            account.failed(why);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.ends[self.end as usize].fetch_add(1, Ordering::Relaxed);
        if let Some(pass) = &self.pass {
            pass.end(self.end.into());
        }
        if let Some(account) = &self.account {
            account.ends(self.end);
        }
    }
}
