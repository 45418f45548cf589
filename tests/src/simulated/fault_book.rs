//! Which faults are armed, and what they mean for one request: requests come in, [`Plan`]s go out, counts go down.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::fault::{EndBy, Fault, FaultKind, OpenConnections, SplitUnit, probe_paths};

/// A wait: for a time, or until the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hang {
    For(Duration),
    Forever,
}

/// An answer given instead of the real one.
#[derive(Clone, Debug, Default)]
pub(super) struct CannedAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Text, base64, or neither for an error body in the format of the path.
    pub body: Option<String>,
    pub body_base64: Option<String>,
    /// What such an error body says, if not just that it is simulated.
    pub message: Option<String>,
}

/// What happens within an answer's body.
#[derive(Clone, Debug)]
pub(super) enum MidAction {
    Reset,
    Close,
    EndCleanly,
    ErrorFrame(String),
    LoseError,
    Hang(Hang),
    Malformed(Option<String>),
    BadChunkHeader,
}

/// An action and the number of frames before it.
#[derive(Clone, Debug)]
pub(super) struct MidFault {
    pub after_frames: u64,
    pub action: MidAction,
}

/// Sending drop by drop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drip {
    pub bytes: usize,
    pub interval: Duration,
    pub head: bool,
}

/// Sending frames in two parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub offset: i64,
    pub unit: SplitUnit,
    pub gap: Duration,
}

/// How the bytes of an answer are put on the wire.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery {
    pub drip: Option<Drip>,
    pub split: Option<Split>,
    pub coalesce: bool,
    pub extension: String,
    pub trailers: Vec<(String, String)>,
    pub missing_bytes: Option<usize>,
}

/// Everything that goes wrong with one request. The default is a healthy exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub close_on_reuse: Option<EndBy>,
    pub close_before_headers: Option<EndBy>,
    pub early: Option<(u16, bool)>,
    pub interim: Vec<u16>,
    pub hang_before_headers: Option<Hang>,
    pub canned: Option<CannedAnswer>,
    pub hang_after_headers: Option<Hang>,
    pub mid: Vec<MidFault>,
    pub without_marker: bool,
    pub delivery: Delivery,
    pub stale_after: Option<Duration>,
}

/// What the book needs to know of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'r> {
    pub path: &'r str,
    /// Whether the connection carried a request before.
    pub reused: bool,
}

/// How the listener shall be, as far as faults go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerState {
    Listening,
    Refusing { reopen_after: Option<Duration>, open_connections: OpenConnections },
}

/// The armed faults.
#[derive(Debug)]
pub(super) struct FaultBook {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    armed: Vec<Fault>,
    dice: fastrand::Rng,
}

impl FaultBook {
    pub(super) fn new(armed: Vec<Fault>, seed: u64) -> Self {
        Self { inner: Mutex::new(Inner { armed, dice: fastrand::Rng::with_seed(seed) }) }
    }

    pub(super) fn replace(&self, faults: Vec<Fault>) {
        self.locked().armed = faults;
    }

    pub(super) fn add(&self, fault: Fault) {
        self.locked().armed.push(fault);
    }

    /// The faults as they are now, counts included; used-up ones are gone.
    pub(super) fn list(&self) -> Vec<Fault> {
        self.locked().armed.clone()
    }

    /// Forgets a refusal which ended by itself.
    pub(super) fn forget_refusal(&self) {
        self.locked().armed.retain(|fault| !matches!(fault.kind, FaultKind::Refuse { .. }));
    }

    pub(super) fn listener_state(&self) -> ListenerState {
        let refusal = self.locked().armed.iter().find_map(|fault| match &fault.kind {
            FaultKind::Refuse { for_ms, open_connections } => Some((*for_ms, *open_connections)),
            _ => None,
        });
        match refusal {
            Some((for_ms, open_connections)) => {
                ListenerState::Refusing { reopen_after: for_ms.map(Duration::from_millis), open_connections }
            }
            None => ListenerState::Listening,
        }
    }

    /// Whether a connection just accepted shall end at once.
    pub(super) fn on_accept(&self) -> Option<EndBy> {
        let mut inner = self.locked();
        let struck = inner.strike(|fault| matches!(fault.kind, FaultKind::AcceptThenClose { .. }));
        struck.into_iter().find_map(|kind| match kind {
            FaultKind::AcceptThenClose { by } => Some(by),
            _ => None,
        })
    }

    /// Decides what goes wrong with a request.
    pub(super) fn plan(&self, subject: Subject<'_>) -> Plan {
        let mut plan = Plan::default();
        for kind in self.locked().strike(|fault| concerns(fault, subject)) {
            plan.add(kind);
        }
        plan.mid.sort_by_key(|fault| fault.after_frames);
        plan
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Throws the dice for each fault in scope, counts those that happen, and drops the used-up ones.
    fn strike(&mut self, in_scope: impl Fn(&Fault) -> bool) -> Vec<FaultKind> {
        let mut struck = Vec::new();
        for fault in self.armed.iter_mut().filter(|fault| in_scope(fault)) {
            if fault.times == Some(0) || fault.probability.is_some_and(|chance| self.dice.f64() >= chance) {
                continue;
            }
            fault.times = fault.times.map(|times| times - 1);
            struck.push(fault.kind.clone());
        }
        self.armed.retain(|fault| fault.times != Some(0));
        struck
    }
}

fn concerns(fault: &Fault, subject: Subject<'_>) -> bool {
    match &fault.kind {
        FaultKind::Refuse { .. } | FaultKind::AcceptThenClose { .. } => return false,
        FaultKind::HealthFails { .. } => return matches!(subject.path, "/" | "/health"),
        FaultKind::CloseOnReuse { .. } if !subject.reused => return false,
        _ => {}
    }
    match &fault.path_prefix {
        Some(prefix) => subject.path.starts_with(prefix.as_str()),
        None => !probe_paths().contains(&subject.path),
    }
}

impl Plan {
    fn add(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::Refuse { .. } | FaultKind::AcceptThenClose { .. } => {}
            FaultKind::CloseOnReuse { by } => self.close_on_reuse = Some(by),
            FaultKind::CloseBeforeHeaders { by } => self.close_before_headers = Some(by),
            FaultKind::StaleKeepAlive { after_ms } => {
                self.stale_after = Some(Duration::from_millis(after_ms));
            }
            FaultKind::HangBeforeHeaders { for_ms } => self.hang_before_headers = Some(hang(for_ms)),
            FaultKind::HangAfterHeaders { for_ms } => self.hang_after_headers = Some(hang(for_ms)),
            FaultKind::Answer { status, headers, body, body_base64 } => {
                self.canned = Some(CannedAnswer { status, headers, body, body_base64, message: None });
            }
            FaultKind::Error { status, message } => {
                self.canned =
                    Some(CannedAnswer { status, message: Some(message), ..CannedAnswer::default() });
            }
            FaultKind::Redirect { status, location } => {
                let headers = vec![("Location".to_owned(), location)];
                let body = Some(String::new());
                self.canned = Some(CannedAnswer { status, headers, body, ..CannedAnswer::default() });
            }
            FaultKind::EarlyResponse { status, linger } => self.early = Some((status, linger)),
            FaultKind::HealthFails { status } => {
                self.canned = Some(CannedAnswer { status, ..CannedAnswer::default() });
            }
            FaultKind::Interim { statuses } => self.interim = statuses,
            FaultKind::EndWithoutMarker { after_frames: None } => self.without_marker = true,
            other => self.add_within_body(other),
        }
    }

    fn add_within_body(&mut self, kind: FaultKind) {
        let (after_frames, action) = match kind {
            FaultKind::ResetAfter { frames } => (frames, MidAction::Reset),
            FaultKind::CloseAfter { frames } => (frames, MidAction::Close),
            FaultKind::EndWithoutMarker { after_frames: Some(frames) } => (frames, MidAction::EndCleanly),
            FaultKind::ErrorFrame { after_frames, message } => (after_frames, MidAction::ErrorFrame(message)),
            FaultKind::LostError { after_frames } => (after_frames, MidAction::LoseError),
            FaultKind::HangMidStream { after_frames, for_ms } => {
                (after_frames, MidAction::Hang(hang(for_ms)))
            }
            FaultKind::MalformedFrame { after_frames, text } => (after_frames, MidAction::Malformed(text)),
            FaultKind::BadChunkHeader { after_frames } => (after_frames, MidAction::BadChunkHeader),
            other => return self.delivery.add(other),
        };
        self.mid.push(MidFault { after_frames, action });
    }
}

impl Delivery {
    fn add(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::TruncatedLength { missing } => self.missing_bytes = Some(missing),
            FaultKind::SlowBytes { interval_ms, bytes, head } => {
                let interval = Duration::from_millis(interval_ms);
                self.drip = Some(Drip { bytes: bytes.max(1), interval, head });
            }
            FaultKind::SplitFrames { offset, unit, gap_ms } => {
                self.split = Some(Split { offset, unit, gap: Duration::from_millis(gap_ms) });
            }
            FaultKind::Coalesce => self.coalesce = true,
            FaultKind::ChunkExtras { extension, trailers } => {
                self.extension = extension;
                self.trailers = trailers;
            }
            _ => {}
        }
    }
}

fn hang(for_ms: Option<u64>) -> Hang {
    for_ms.map_or(Hang::Forever, |for_ms| Hang::For(Duration::from_millis(for_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: Subject<'_> = Subject { path: "/api/chat", reused: false };

    #[test]
    fn a_fault_with_a_count_happens_that_often_and_is_then_gone() {
        let book = FaultBook::new(vec![FaultKind::status(500).times(2)], 1);
        let happened = (0..3).filter(|_| book.plan(CHAT).canned.is_some()).count();
        assert_eq!((happened, book.list().len()), (2, 0));
    }

    #[test]
    fn probes_are_spared_unless_the_path_names_them() {
        let book = FaultBook::new(vec![FaultKind::status(500).times(1)], 1);
        assert!(book.plan(Subject { path: "/api/tags", reused: false }).canned.is_none());
        assert!(book.plan(CHAT).canned.is_some());
        book.replace(vec![FaultKind::status(500).path("/")]);
        assert!(book.plan(Subject { path: "/", reused: false }).canned.is_some());
    }

    #[test]
    fn chance_lies_between_never_and_always() {
        let book = FaultBook::new(vec![FaultKind::status(500).probability(0.5)], 1);
        let happened = (0..1000).filter(|_| book.plan(CHAT).canned.is_some()).count();
        assert!((300..700).contains(&happened), "{happened} of 1000");
    }

    #[test]
    fn a_fault_is_read_from_json() {
        let json = r#"{"kind":"reset_after","frames":3,"times":1,"path_prefix":"/api/chat"}"#;
        let fault: Fault = serde_json::from_str(json).unwrap();
        assert_eq!(fault, FaultKind::ResetAfter { frames: 3 }.path("/api/chat").times(1));
        let json = r#"{"kind":"refuse"}"#;
        assert_eq!(serde_json::from_str::<Fault>(json).unwrap(), FaultKind::refuse().into());
    }
}
