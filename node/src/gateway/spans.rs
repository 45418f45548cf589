//! The spans of a request that is traced: its own, and its children `queue`, `attempt` and `stream`.
//!
//! They belong to the request's account, and are sent when that ends. They tell where a request went and how long that took,
//! by the names of OpenTelemetry's conventions for HTTP and generative AI; nothing of what was asked or answered.
//!
//! `#[cold]`: most nodes trace nothing, and there all this is kept out of the code that each request runs through.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use ollamaflow_protocol::end::End;
use ollamaflow_protocol::route::{Kind, Operation};
use ollamaflow_protocol::wire::Usage;

use super::account::Account;
use super::identity::{self, RequestId, Traceparent};
use crate::actors::{BackendView, Decision};
use crate::telemetry::{Attribute, AttributeValue, Parent, Span, SpanKind, Trace, Traces};

/// Most children that are kept of one request.
const MAX_CHILDREN: usize = 64;

/// Longest `tracestate` that is kept, as W3C Trace Context asks for at least.
const MAX_STATE: usize = 512;

/// What is known of a traced request.
#[derive(Debug)]
pub(super) struct Spans {
    traces: Traces,
    trace: u128,
    state: String,
    /// The span of the request.
    root: u64,
    parent: Option<u64>,
    method: String,
    operation: Cell<Option<Operation>>,
    model: RefCell<Option<AttributeValue>>,
    decision: Cell<Option<Decision>>,
    /// The same moment by two clocks.
    began: Instant,
    began_nanos: u64,
    attributes: RefCell<Vec<Attribute>>,
    children: RefCell<Vec<Span>>,
}

/// How a request has ended.
pub(super) struct Ending<'a> {
    pub(super) end: End,
    pub(super) status: Option<StatusCode>,
    pub(super) why: Option<&'static str>,
    pub(super) backend: &'a str,
    pub(super) bytes: u64,
    /// Time until the first byte of the answer's body.
    pub(super) first: Option<Duration>,
    pub(super) attempts: Option<u32>,
    pub(super) usage: Usage,
    pub(super) resumed: u32,
}

/// One request to a backend, from its sending until it is clear what the answer is worth. It ends when it is dropped.
pub(super) struct Attempt {
    account: Rc<Account>,
    id: u64,
    began: Instant,
    attributes: Vec<Attribute>,
    is_judged: bool,
    is_error: bool,
}

// === impl Spans ===

impl Spans {
    /// Those of a request that has just come; none if it is not recorded.
    #[cold]
    pub(super) fn begin(traces: &Traces, id: &RequestId, request: &HttpRequest) -> Option<Box<Self>> {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let parent = identity::parent(text("traceparent"));
        let trace = traces.sample(parent.as_ref())?;
        // Without a valid parent, its state means nothing.
        let state =
            parent.and(text("tracestate")).filter(|state| state.len() <= MAX_STATE).unwrap_or_default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let method = request.method().as_str();
        let attributes = vec![
            ("http.request.method", AttributeValue::text(method)),
            ("url.path", AttributeValue::text(request.path())),
            ("ollamaflow.request", AttributeValue::text(id.as_str())),
        ];
        Some(Box::new(Self {
            traces: traces.clone(),
            trace,
            state: state.to_owned(),
            root: fastrand::u64(1..),
            parent: parent.map(|Parent { span, .. }| span),
            method: method.to_owned(),
            operation: Cell::new(None),
            model: RefCell::new(None),
            decision: Cell::new(None),
            began: Instant::now(),
            began_nanos: nanos(now),
            attributes: RefCell::new(attributes),
            children: RefCell::new(Vec::new()),
        }))
    }

    #[cold]
    pub(super) fn came_from(&self, address: IpAddr) {
        self.note("client.address", AttributeValue::text(&address.to_string()));
    }

    #[cold]
    pub(super) fn admitted(&self, frontend: &str, operation: Operation) {
        self.operation.set(Some(operation));
        self.note("ollamaflow.frontend", AttributeValue::text(frontend));
        self.note("ollamaflow.operation", AttributeValue::word(operation.label()));
        if let Some(name) = named(operation) {
            self.note("gen_ai.operation.name", AttributeValue::word(name));
        }
    }

    #[cold]
    pub(super) fn model(&self, name: &str) {
        let name = AttributeValue::text(name);
        self.model.replace(Some(name.clone()));
        self.note("gen_ai.request.model", name);
    }

    /// A backend was chosen, for this reason.
    #[cold]
    pub(super) fn decided(&self, decision: Decision) {
        self.decision.set(Some(decision));
    }

    /// The request has waited until now.
    #[cold]
    pub(super) fn queued(&self, waited: Duration) {
        let now = Instant::now();
        let began = now.checked_sub(waited).unwrap_or(now);
        self.child(fastrand::u64(1..), "queue", SpanKind::Internal, (began, now), Vec::new(), false);
    }

    /// What a backend gets, so that its spans are parts of the request's own.
    pub(super) fn traceparent(&self) -> Traceparent {
        identity::traceparent_of(self.trace, self.root)
    }

    fn note(&self, name: &'static str, value: AttributeValue) {
        self.attributes.borrow_mut().push((name, value));
    }

    fn child(
        &self,
        id: u64,
        name: &'static str,
        kind: SpanKind,
        (start, end): (Instant, Instant),
        attributes: Vec<Attribute>,
        is_error: bool,
    ) {
        let mut children = self.children.borrow_mut();
        if children.len() < MAX_CHILDREN {
            children.push(Span {
                id,
                parent: Some(self.root),
                name: name.into(),
                kind,
                start: self.at(start),
                end: self.at(end),
                attributes,
                is_error,
            });
        }
    }

    fn at(&self, moment: Instant) -> u64 {
        self.began_nanos.saturating_add(nanos(moment.saturating_duration_since(self.began)))
    }

    /// The request has ended: all is sent.
    #[cold]
    pub(super) fn end(self, ending: &Ending<'_>) {
        let now = Instant::now();
        if let Some(first) = ending.first.filter(|_| !ending.backend.is_empty()) {
            let attributes = vec![("http.response.body.size", AttributeValue::count(ending.bytes))];
            let began = self.began.checked_add(first).unwrap_or(now);
            self.child(
                fastrand::u64(1..),
                "stream",
                SpanKind::Internal,
                (began, now),
                attributes,
                ending.why.is_some(),
            );
        }
        self.conclude(ending);
        let name = match self.operation.get() {
            Some(operation) => format!("{} {}", self.method, operation.label()),
            None => self.method.clone(),
        };
        let root = Span {
            id: self.root,
            parent: self.parent,
            name: name.into(),
            kind: SpanKind::Server,
            start: self.began_nanos,
            end: self.at(now),
            attributes: self.attributes.take(),
            // What a client has done wrong is no failure of a server (semantic conventions for HTTP spans).
            is_error: ending.end == End::Error
                && !ending.status.is_some_and(|status| status.is_client_error()),
        };
        let mut spans = self.children.take();
        spans.push(root);
        self.traces.end(Trace { id: self.trace, state: self.state, spans });
    }

    /// Notes what is known at the end.
    fn conclude(&self, ending: &Ending<'_>) {
        self.note("ollamaflow.outcome", AttributeValue::word(ending.end.label()));
        if let Some(status) = ending.status {
            self.note("http.response.status_code", AttributeValue::Number(status.as_u16().into()));
        }
        if let Some(why) = ending.why {
            self.note("error.type", AttributeValue::word(why));
        }
        if !ending.backend.is_empty() {
            self.note("ollamaflow.backend", AttributeValue::text(ending.backend));
        }
        if let Some(decision) = self.decision.get() {
            self.note("ollamaflow.decision", AttributeValue::text(&decision.to_string()));
        }
        if let Some(attempts) = ending.attempts {
            self.note("ollamaflow.attempts", AttributeValue::Number(attempts.into()));
        }
        if ending.resumed > 0 {
            self.note("ollamaflow.resumed", AttributeValue::Number(ending.resumed.into()));
        }
        if let Some(first) = ending.first {
            self.note("gen_ai.server.time_to_first_token", AttributeValue::Float(first.as_secs_f64()));
        }
        let Usage { prompt, completion } = ending.usage;
        for (name, tokens) in
            [("gen_ai.usage.input_tokens", prompt), ("gen_ai.usage.output_tokens", completion)]
        {
            if let Some(tokens) = tokens {
                self.note(name, AttributeValue::count(tokens));
            }
        }
    }
}

// === impl Attempt ===

impl Attempt {
    /// The request of this account is sent to a backend; none if it is not traced.
    #[cold]
    pub(super) fn begin(
        account: &Rc<Account>,
        operation: Operation,
        view: &BackendView,
    ) -> Option<Box<Self>> {
        let spans = account.spans()?;
        let backend = &*view.config;
        let mut attributes = vec![
            ("ollamaflow.backend", AttributeValue::text(backend.identifier.as_ref())),
            ("server.address", AttributeValue::text(&backend.hostname)),
            ("server.port", AttributeValue::Number(backend.port.into())),
            ("ollamaflow.operation", AttributeValue::word(operation.label())),
        ];
        if let Some(name) = named(operation) {
            attributes.push(("gen_ai.operation.name", AttributeValue::word(name)));
        }
        if let Some(model) = spans.model.borrow().clone() {
            attributes.push(("gen_ai.request.model", model));
        }
        if let Some(decision) = spans.decision.get() {
            attributes.push(("ollamaflow.decision", AttributeValue::text(&decision.to_string())));
        }
        Some(Box::new(Self {
            account: account.clone(),
            id: fastrand::u64(1..),
            began: Instant::now(),
            attributes,
            is_judged: false,
            is_error: false,
        }))
    }

    /// What the backend gets, so that its spans are parts of this one.
    pub(super) fn traceparent(&self) -> Option<Traceparent> {
        self.account.spans().map(|spans| identity::traceparent_of(spans.trace, self.id))
    }

    /// The head of the answer.
    #[cold]
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.is_judged = true;
        self.is_error |= status.is_client_error() || status.is_server_error();
        self.attributes.push(("http.response.status_code", AttributeValue::Number(status.as_u16().into())));
    }

    /// There is no answer that the client could get.
    #[cold]
    pub(super) fn failed(&mut self, why: &'static str) {
        self.is_judged = true;
        self.is_error = true;
        self.attributes.push(("error.type", AttributeValue::word(why)));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(spans) = self.account.spans() else { return };
        let mut attributes = std::mem::take(&mut self.attributes);
        if !self.is_judged {
            // Its client has left, or another attempt was faster.
            attributes.push(("ollamaflow.outcome", AttributeValue::word(End::Cancelled.label())));
        }
        let times = (self.began, Instant::now());
        spans.child(self.id, "attempt", SpanKind::Client, times, attributes, self.is_error);
    }
}

/// What the conventions for generative AI call an operation, if they have a word for it.
fn named(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::OllamaGenerate | Operation::OpenAiCompletion => Some("text_completion"),
        _ => match operation.kind() {
            Kind::Completions => Some("chat"),
            Kind::Embeddings => Some("embeddings"),
            Kind::Other => None,
        },
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
