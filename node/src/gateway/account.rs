//! What is told of one request when it has ended: its line in the access log, and its spans if it is traced.
//!
//! A request has one account from its head on, which is held by whoever still works for it: the future that finds it an
//! answer, the counter of its end, and last the answer's body. When the last of them is dropped, the request has ended,
//! however it did, and the line is written. So there is one line for each request, and no place where it might be forgotten.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::StatusCode;
use bytes::Bytes;
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::wire::Usage;
use smallvec::SmallVec;

use super::identity::RequestId;
use super::ingress::Admitted;
use super::journal::Heard;
use super::origin::Origin;
use super::spans::{self, Spans};
use super::tally::End;
use super::trace::Trace;
use crate::actors::Decision;
use crate::telemetry::{AccessLog, Line, Traces};

/// One request. Belongs to one thread.
#[derive(Debug)]
pub(crate) struct Account {
    /// None if it gets no line, but spans.
    log: Option<Rc<AccessLog>>,
    /// There if it is traced.
    spans: Option<Box<Spans>>,
    started: Instant,
    /// What is known already.
    line: RefCell<Line>,
    status: Cell<Option<StatusCode>>,
    /// How it ended, if somebody has said so; else that follows from the status, and from whether the client took all.
    end: Cell<Option<End>>,
    /// Whether the client was given the whole answer.
    is_whole: Cell<bool>,
    /// Why it is no answer.
    why: Cell<Option<&'static str>>,
    bytes: Cell<u64>,
    /// Time until the first byte of the answer's body.
    first: Cell<Option<Duration>>,
    /// Backends that it was sent to, and the time in the queue; none if none was looked for.
    way: Cell<Option<(u32, Duration)>>,
    usage: Cell<Usage>,
    resumed: Cell<u32>,
    /// The backend of the answer.
    backend: RefCell<SmallVec<[u8; 32]>>,
}

/// An answer's body, whose bytes are counted for the account, and seen by who wants them in the log.
pub(crate) struct Accounted<B> {
    body: B,
    size: BodySize,
    account: Option<Rc<Account>>,
    heard: Option<Box<Heard>>,
}

// === impl Account ===

impl Account {
    /// The account of a request that has just come; none if nobody wants to know.
    pub(crate) fn begin(
        log: &Rc<AccessLog>,
        traces: Option<&Traces>,
        id: &RequestId,
        request: &HttpRequest,
    ) -> Option<Rc<Self>> {
        let spans = traces.and_then(|traces| Spans::begin(traces, id, request));
        let is_logged = log.is_on();
        if !is_logged && spans.is_none() {
            return None;
        }
        let mut line = log.line();
        line.word("request", id.as_str());
        line.text("method", request.method().as_str());
        line.text("path", request.path());
        Some(Rc::new(Self {
            log: is_logged.then(|| log.clone()),
            spans,
            started: Instant::now(),
            line: RefCell::new(line),
            status: Cell::new(None),
            end: Cell::new(None),
            is_whole: Cell::new(false),
            why: Cell::new(None),
            bytes: Cell::new(0),
            first: Cell::new(None),
            way: Cell::new(None),
            usage: Cell::new(Usage::default()),
            resumed: Cell::new(0),
            backend: RefCell::new(SmallVec::new()),
        }))
    }

    /// Who sent it.
    pub(super) fn came_from(&self, origin: Origin) {
        self.line.borrow_mut().address("client", origin.address);
        if let Some(spans) = &self.spans {
            spans.came_from(origin.address);
        }
    }

    /// Its frontend has let it in.
    pub(super) fn admitted(&self, admitted: &Admitted) {
        self.came_from(admitted.origin);
        let mut line = self.line.borrow_mut();
        line.word("frontend", admitted.frontend.id().as_ref());
        line.word("operation", admitted.operation.label());
        if let Some(spans) = &self.spans {
            spans.admitted(admitted.frontend.id().as_ref(), admitted.operation);
        }
    }

    /// It is one to the admin API.
    pub(crate) fn administers(&self, request: &HttpRequest) {
        if let Some(peer) = super::origin::peer(request) {
            self.line.borrow_mut().address("client", peer);
        }
        self.line.borrow_mut().word("operation", "admin");
    }

    /// The model, as the client names it.
    pub(super) fn model(&self, name: &str) {
        self.line.borrow_mut().text("model", name);
        if let Some(spans) = &self.spans {
            spans.model(name);
        }
    }

    /// Its spans, if it is traced.
    pub(super) fn spans(&self) -> Option<&Spans> {
        self.spans.as_deref()
    }

    /// A backend was chosen, for this reason.
    pub(super) fn decided(&self, decision: Decision) {
        if let Some(spans) = &self.spans {
            spans.decided(decision);
        }
    }

    /// It has waited for a backend until now.
    pub(super) fn queued(&self, waited: Duration) {
        if let Some(spans) = &self.spans {
            spans.queued(waited);
        }
    }

    /// Whose answer the client gets. The last word counts.
    pub(super) fn answered_by(&self, backend: &BackendId) {
        let mut known = self.backend.borrow_mut();
        known.clear();
        known.extend_from_slice(backend.as_ref().as_bytes());
    }

    /// Its way through the backends.
    pub(super) fn went(&self, trace: &Trace) {
        self.way.set(trace.way());
    }

    /// The client gets no answer, or not all of it.
    pub(super) fn failed(&self, why: &'static str) {
        self.why.set(Some(why));
    }

    /// Tokens that it took.
    pub(super) fn used(&self, usage: Usage) {
        self.usage.set(usage);
    }

    /// Its stream has gone on at another backend.
    pub(super) fn resumed(&self, at: &BackendId) {
        self.resumed.set(self.resumed.get() + 1);
        self.answered_by(at);
    }

    /// How it ends.
    pub(super) fn ends(&self, end: End) {
        self.end.set(Some(end));
    }

    /// The head of the answer.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.status.set(Some(status));
    }

    fn passed(&self, bytes: usize) {
        if self.first.get().is_none() {
            self.first.set(Some(self.started.elapsed()));
        }
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    fn end(&self) -> End {
        let said = self.end.get();
        said.unwrap_or_else(|| match self.status.get() {
            _ if !self.is_whole.get() => End::Cancelled,
            Some(status) if !status.is_client_error() && !status.is_server_error() => End::Complete,
            _ => End::Error,
        })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let end = self.end();
        if let Some(spans) = self.spans.take() {
            spans.end(&spans::Ending {
                end,
                status: self.status.get(),
                why: self.why.get(),
                backend: std::str::from_utf8(self.backend.get_mut()).unwrap_or_default(),
                bytes: self.bytes.get(),
                first: self.first.get(),
                attempts: self.way.get().map(|(attempts, _)| attempts),
                usage: self.usage.get(),
                resumed: self.resumed.get(),
            });
        }
        let Some(log) = &self.log else { return };
        let line = self.line.get_mut();
        if let Ok(backend) = std::str::from_utf8(self.backend.get_mut())
            && !backend.is_empty()
        {
            line.word("backend", backend);
        }
        if let Some(status) = self.status.get() {
            line.number("status", status.as_u16().into());
        }
        line.word("outcome", end.label());
        if let Some(why) = self.why.get() {
            line.word("error", why);
        }
        line.number("bytes", self.bytes.get());
        line.millis("duration_ms", duration);
        if let Some(first) = self.first.get() {
            line.millis("ttft_ms", first);
        }
        if let Some((attempts, queued)) = self.way.get() {
            line.number("attempts", attempts.into());
            line.millis("queue_ms", queued);
        }
        if self.resumed.get() > 0 {
            line.number("resumed", self.resumed.get().into());
        }
        let Usage { prompt, completion } = self.usage.get();
        for (name, tokens) in [("prompt_tokens", prompt), ("completion_tokens", completion)] {
            if let Some(tokens) = tokens {
                line.number(name, tokens);
            }
        }
        log.write(line);
    }
}

// === impl Accounted ===

impl<B: MessageBody> Accounted<B> {
    /// Counts what passes.
    pub(crate) fn new(body: B, account: Option<Rc<Account>>) -> Self {
        let size = body.size();
        if let Some(account) = account.as_ref().filter(|_| size.is_eof()) {
            account.is_whole.set(true);
        }
        Self { body, size, account, heard: None }
    }

    /// Lets these hear what passes.
    pub(super) fn heard_by(mut self, heard: Option<Box<Heard>>) -> Self {
        self.heard = heard;
        self
    }

    fn passes(&mut self, piece: Option<&Bytes>) {
        if let Some(account) = &self.account {
            if let Some(bytes) = piece {
                account.passed(bytes.len());
            }
            let is_all = matches!(self.size, BodySize::Sized(size) if account.bytes.get() >= size);
            if piece.is_none() || is_all {
                account.is_whole.set(true);
            }
        }
        if let (Some(heard), Some(bytes)) = (&mut self.heard, piece) {
            heard.push(bytes);
        }
    }
}

impl<B: MessageBody + Unpin> MessageBody for Accounted<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        let poll = Pin::new(&mut self.body).poll_next(cx);
        match &poll {
            Poll::Ready(Some(Ok(bytes))) => self.passes(Some(bytes)),
            Poll::Ready(None) => self.passes(None),
            _ => {}
        }
        poll
    }
}
