//! What is told about a request's way in the headers of its answer, whether that is a backend's or ours.

use std::rc::Rc;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::id::BackendId;

use super::account::Account;
use super::respond::add;
use crate::actors::Decision;

const ATTEMPTS: HeaderName = HeaderName::from_static(names::ATTEMPTS);
const QUEUE_MS: HeaderName = HeaderName::from_static(names::QUEUE_MS);
const DECISION: HeaderName = HeaderName::from_static(names::DECISION);

/// A request's way so far. Its end is told to the request's account.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Whether a backend was looked for.
    routed: bool,
    /// Backends that it was sent to.
    attempts: u32,
    /// Time in the queue.
    pub(super) queued: Duration,
    /// How much of that was told to the account.
    told: Duration,
    decision: Option<Decision>,
    account: Option<Rc<Account>>,
}

// === impl Trace ===

impl Trace {
    /// The way of the request of this account, at its beginning.
    pub(super) fn begin(account: Option<&Rc<Account>>) -> Self {
        Self { account: account.cloned(), ..Self::default() }
    }

    /// The request names this model.
    pub(super) fn model(&self, name: Option<&str>) {
        if let (Some(account), Some(name)) = (&self.account, name) {
            account.model(name);
        }
    }

    /// The client gets this backend's answer.
    pub(super) fn answered_by(&self, backend: &BackendId) {
        if let Some(account) = &self.account {
            account.answered_by(backend);
        }
    }

    /// Backends that it was sent to, and the time in the queue; none if no backend was looked for.
    pub(super) fn way(&self) -> Option<(u32, Duration)> {
        self.routed.then_some((self.attempts, self.queued))
    }

    /// A backend is being looked for.
    pub(super) fn route(&mut self) {
        self.routed = true;
    }

    /// The request goes to a backend.
    pub(super) fn attempt(&mut self, decision: Decision) {
        self.attempts += 1;
        self.decision = Some(decision);
        self.tell_decision();
    }

    /// The request goes to so many backends at once.
    pub(super) fn attempts_at(&mut self, backends: usize, decision: Decision) {
        self.attempts = u32::try_from(backends).unwrap_or(u32::MAX);
        self.decision = Some(decision);
        self.tell_decision();
    }

    fn tell_decision(&mut self) {
        self.tell_waiting();
        if let (Some(account), Some(decision)) = (&self.account, self.decision) {
            account.decided(decision);
        }
    }

    /// The time in the queue that has come since this was told last ends now.
    fn tell_waiting(&mut self) {
        if let Some(account) = self.account.as_ref().filter(|_| self.queued > self.told) {
            account.queued(self.queued.saturating_sub(self.told));
            self.told = self.queued;
        }
    }

    /// The last attempt was none: nothing was sent.
    pub(super) fn unsaid(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
    }

    /// Backends that it was sent to.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Writes the headers, if there is anything to tell.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        if !self.routed {
            return;
        }
        add(headers, ATTEMPTS, number(self.attempts.into()));
        let queued = u64::try_from(self.queued.as_millis()).unwrap_or(u64::MAX);
        add(headers, QUEUE_MS, number(queued));
        let Some(decision) = self.decision else { return };
        let value = if decision.why.is_empty() {
            HeaderValue::from_static(decision.by)
        } else {
            match HeaderValue::from_str(&decision.to_string()) {
                Ok(value) => value,
                Err(_) => return,
            }
        };
        add(headers, DECISION, value);
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.tell_waiting();
        if let Some(account) = &self.account {
            account.went(self);
        }
    }
}

/// A number as a header has it. Nearly all requests go to one backend and wait for none.
fn number(number: u64) -> HeaderValue {
    match number {
        0 => HeaderValue::from_static("0"),
        1 => HeaderValue::from_static("1"),
        _ => HeaderValue::from(number),
    }
}
