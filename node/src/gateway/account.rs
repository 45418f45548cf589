//! What is told of one request when it has ended: its line in the access log.
//!
//! A request has one account from its head on, which is held by whoever still works for it: the future that finds it an
//! answer, the counter of its end, and last the answer's body. When the last of them is dropped, the request has ended,
//! however it did, and the line is written. So there is one line for each request, and no place where it might be forgotten.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::{Method, StatusCode};
use bytes::Bytes;
use ollamaflow_protocol::end::End;
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::wire::Usage;

use super::identity::RequestId;
use super::ingress::Admitted;
use super::journal::Heard;
use super::origin::Origin;
use super::spans::{self, Spans};
use super::trace::Trace;
use crate::actors::Decision;
use crate::clock;
use crate::telemetry::{AccessLog, Entry, Named, Names, Traces};

/// One request. Belongs to one thread.
#[derive(Debug)]
pub(crate) struct Account {
    /// None if it gets no line, but spans.
    log: Option<Rc<AccessLog>>,
    /// There if it is traced.
    spans: Option<Box<Spans>>,
    started: Instant,
    id: RequestId,
    method: Method,
    /// Names that are known already.
    names: RefCell<Names>,
    client: Cell<Option<IpAddr>>,
    operation: Cell<Option<&'static str>>,
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
    /// The account of a request that came at `started`; none if nobody wants to know.
    pub(crate) fn begin(
        log: &Rc<AccessLog>,
        traces: Option<&Traces>,
        id: &RequestId,
        request: &HttpRequest,
        started: Instant,
    ) -> Option<Rc<Self>> {
        let spans = traces.and_then(|traces| Spans::begin(traces, id, request));
        let is_logged = log.is_on();
        if !is_logged && spans.is_none() {
            return None;
        }
        let account = Rc::new(Self {
            log: is_logged.then(|| log.clone()),
            spans,
            started,
            id: id.clone(),
            method: request.method().clone(),
            names: RefCell::default(),
            client: Cell::new(None),
            operation: Cell::new(None),
            status: Cell::new(None),
            end: Cell::new(None),
            is_whole: Cell::new(false),
            why: Cell::new(None),
            bytes: Cell::new(0),
            first: Cell::new(None),
            way: Cell::new(None),
            usage: Cell::new(Usage::default()),
            resumed: Cell::new(0),
        });
        account.names.borrow_mut().set(Named::Path, request.path());
        Some(account)
    }

    /// Who sent it.
    pub(super) fn came_from(&self, origin: Origin) {
        self.client.set(Some(origin.address));
        if let Some(spans) = &self.spans {
            spans.came_from(origin.address);
        }
    }

    /// Its frontend has let it in.
    pub(super) fn admitted(&self, admitted: &Admitted) {
        self.came_from(admitted.origin);
        let mut names = self.names.borrow_mut();
        names.set(Named::Frontend, admitted.frontend.id().as_ref());
        if let Some(key) = &admitted.key {
            names.set(Named::Key, key.id().as_ref());
        }
        self.operation.set(Some(admitted.operation.label()));
        if let Some(spans) = &self.spans {
            spans.admitted(admitted.frontend.id().as_ref(), admitted.operation);
        }
    }

    /// It is one to the admin API.
    pub(crate) fn administers(&self, request: &HttpRequest) {
        self.client.set(super::origin::peer(request));
        self.operation.set(Some("admin"));
    }

    /// The model, as the client names it.
    pub(super) fn model(&self, name: &str) {
        self.names.borrow_mut().set(Named::Model, name);
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
        self.names.borrow_mut().set(Named::Backend, backend.as_ref());
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
            self.first.set(Some(clock::since(self.started)));
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
        let duration = clock::since(self.started);
        let end = self.end();
        let spans = self.spans.take();
        if let Some(spans) = spans {
            let names = self.names.borrow();
            let backend = names.get(Named::Backend).and_then(|name| std::str::from_utf8(name).ok());
            spans.end(&spans::Ending {
                end,
                status: self.status.get(),
                why: self.why.get(),
                backend: backend.unwrap_or_default(),
                bytes: self.bytes.get(),
                first: self.first.get(),
                attempts: self.way.get().map(|(attempts, _)| attempts),
                usage: self.usage.get(),
                resumed: self.resumed.get(),
            });
        }
        let Some(log) = &self.log else { return };
        log.write(Entry {
            at: clock::now(),
            id: *self.id.as_bytes(),
            method: self.method.clone(),
            names: self.names.take(),
            client: self.client.get(),
            operation: self.operation.get(),
            status: self.status.get().map(|status| status.as_u16()),
            outcome: end.label(),
            why: self.why.get(),
            bytes: self.bytes.get(),
            duration,
            first: self.first.get(),
            way: self.way.get(),
            resumed: self.resumed.get(),
            usage: self.usage.get(),
        });
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
