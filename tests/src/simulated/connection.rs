//! One connection: requests are read one after another, told apart, counted and remembered, given to their handlers, and
//! what becomes of the connection is decided.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::answer::{Answer, ErrorStyle, Refusal, reason};
use super::control;
use super::exchange::{Ending, Exchange, Interrupt, Terms};
use super::fault::EndBy;
use super::fault_book::{CannedAnswer, Subject};
use super::inference::{Call, Stop};
use super::knobs::Knobs;
use super::link::{ClientGone, Link};
use super::operation::Operation;
use super::record::{ReceivedFraming, ReceivedRequest};
use super::request::{self, Head, ReadError};
use super::router::{Route, route};
use super::server::Notice;
use super::state::Shared;
use super::stats::Outcome;
use super::{config::ApiFormat, echo, ollama, openai, payload};

/// How long the rest of a request is read and thrown away after an early answer.
const LINGER: Duration = Duration::from_secs(5);

/// What a connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surface {
    /// Everything.
    Main,
    /// `/__sim/` only.
    Control,
    /// Nothing: it ends before anything is read.
    None,
}

/// What a connection needs of its surroundings.
pub(super) struct Context {
    pub shared: Arc<Shared>,
    pub surface: Surface,
    pub id: u64,
    pub notice: watch::Receiver<Notice>,
}

/// What was taken off the wire.
struct Received {
    head: Head,
    route: Route,
    operation: Operation,
    body: Bytes,
    body_length: u64,
    body_digest: String,
}

/// Serves requests until the connection is to end.
pub(super) async fn serve(link: &mut Link, mut context: Context) -> Ending {
    if context.surface == Surface::None {
        link.linger(LINGER).await;
        return Ending::Close;
    }
    let mut idle_limit = None;
    let mut served = 0_u64;
    loop {
        let head = match next_head(link, &mut context, idle_limit).await {
            Ok(head) => head,
            Err(ReadError::Gone) => return Ending::Close,
            Err(ReadError::Refused { status, message }) => return refuse(link, status, &message).await,
        };
        let ending = if head.path.starts_with(control::PREFIX) {
            control::serve(link, &context.shared, &head).await
        } else if context.surface == Surface::Control {
            return refuse(link, 404, "only /__sim/ is served on this port").await;
        } else {
            serve_one(link, &context, head, served > 0).await
        };
        served += 1;
        idle_limit = match ending {
            Ending::KeepAlive => None,
            Ending::KeepAliveFor(limit) => Some(limit),
            Ending::Close | Ending::Reset => return ending,
        };
    }
}

/// Waits for the next request's head; between requests the connection may be told to close.
async fn next_head(
    link: &mut Link,
    context: &mut Context,
    idle_limit: Option<Duration>,
) -> Result<Head, ReadError> {
    let idle_end = async {
        match idle_limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(idle_end);
    loop {
        if let Some(head) = request::parse_head(&mut link.inbox)? {
            return Ok(head);
        }
        let idle = link.inbox.is_empty();
        let read = tokio::select! {
            read = link.fill() => read,
            () = &mut idle_end, if idle => return Err(ReadError::Gone),
            Ok(_) = context.notice.wait_for(|notice| context.id <= notice.close_idle_up_to), if idle => {
                return Err(ReadError::Gone);
            }
        };
        if !matches!(read, Ok(1..)) {
            return Err(ReadError::Gone);
        }
    }
}

async fn serve_one(link: &mut Link, context: &Context, head: Head, reused: bool) -> Ending {
    let shared = &context.shared;
    let knobs = shared.knobs();
    let plan = shared.faults.plan(Subject { path: &head.path, reused });
    let route = route(shared.format(), &head.method, &head.path);
    let operation = match &route {
        Route::Found(operation, _) => *operation,
        Route::WrongMethod | Route::Missing => Operation::Unknown,
    };
    let guard = shared.stats.request(operation);
    let mut received =
        Received { head, route, operation, body: Bytes::new(), body_length: 0, body_digest: String::new() };
    if let Some(by) = plan.close_on_reuse {
        record(context, &knobs, &received);
        drop(guard);
        if by == EndBy::Fin {
            link.linger(LINGER).await;
        }
        return by.into();
    }
    if let Some((status, linger)) = plan.early {
        record(context, &knobs, &received);
        guard.settle(Outcome::Completed);
        if refuse_unread(link, status).await.is_ok() && linger {
            link.linger(LINGER).await;
        }
        return Ending::Close;
    }
    match receive_body(link, &mut received, &knobs).await {
        Ok(()) => record(context, &knobs, &received),
        Err(ReadError::Gone) => {
            guard.settle(Outcome::Cancelled);
            return Ending::Close;
        }
        Err(ReadError::Refused { status, message }) => {
            guard.settle(Outcome::Completed);
            return refuse(link, status, &message).await;
        }
    }
    let terms = Terms {
        minor: received.head.minor,
        head_only: received.head.method == "HEAD",
        keep_alive: received.head.keeps_alive(),
    };
    let canned = plan.canned.clone();
    let mut exchange = Exchange::new(link, Arc::clone(&knobs), plan, terms);
    exchange.hold_guard(guard);
    respond(&mut exchange, shared, knobs, canned, &received).await
}

async fn receive_body(link: &mut Link, received: &mut Received, knobs: &Knobs) -> Result<(), ReadError> {
    let framing = received.head.framing;
    if received.head.expects_continue()
        && link.send_unwatched(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err()
    {
        return Err(ReadError::Gone);
    }
    if received.operation == Operation::BlobPost {
        (received.body_length, received.body_digest) = request::hash_body(link, framing).await?;
    } else {
        received.body = request::read_body(link, framing, knobs.max_body_bytes).await?;
        received.body_length = received.body.len() as u64;
    }
    Ok(())
}

async fn respond(
    exchange: &mut Exchange<'_>,
    shared: &Arc<Shared>,
    knobs: Arc<Knobs>,
    canned: Option<CannedAnswer>,
    received: &Received,
) -> Ending {
    let head = &received.head;
    let error_style = error_style(shared.format(), &head.path);
    let result = if let Some(canned) = canned {
        answer_canned(exchange, canned, error_style).await
    } else {
        let mut call = Call {
            exchange: &mut *exchange,
            shared,
            knobs,
            head,
            body: &received.body,
            body_length: received.body_length,
            body_digest: &received.body_digest,
            error_style,
        };
        handle(&mut call, &received.route).await
    };
    let result = match result {
        Err(Stop::Refused(refusal)) => exchange.answer(Answer::error(error_style, &refusal)).await,
        Err(Stop::Interrupted(interrupt)) => Err(interrupt),
        Ok(()) => Ok(()),
    };
    match result {
        Ok(()) => exchange.ending(),
        Err(Interrupt::Broken) => {
            exchange.give_up(Outcome::Failed);
            exchange.ending()
        }
        Err(Interrupt::ClientGone) => {
            exchange.give_up(Outcome::Cancelled);
            Ending::Close
        }
    }
}

async fn handle(call: &mut Call<'_, '_>, route: &Route) -> Result<(), Stop> {
    call.exchange.prelude().await?;
    let (operation, variable) = match route {
        Route::Found(operation, variable) => (*operation, variable.as_str()),
        Route::WrongMethod => {
            let answer = Answer::new(405, "text/plain", "405 method not allowed");
            return Ok(call.exchange.answer(answer).await?);
        }
        Route::Missing if call.shared.format() == ApiFormat::Openai => {
            let answer = Answer::new(404, "application/json", r#"{"detail":"Not Found"}"#);
            return Ok(call.exchange.answer(answer).await?);
        }
        Route::Missing => {
            let answer = Answer::new(404, "text/plain", "404 page not found");
            return Ok(call.exchange.answer(answer).await?);
        }
    };
    if operation == Operation::Echo {
        return echo::answer(call).await;
    }
    if call.head.path.starts_with("/v1/") || operation == Operation::Health {
        openai::handle(call, operation, variable).await
    } else {
        ollama::handle(call, operation, variable).await
    }
}

async fn answer_canned(
    exchange: &mut Exchange<'_>,
    canned: CannedAnswer,
    style: ErrorStyle,
) -> Result<(), Stop> {
    exchange.prelude().await?;
    let CannedAnswer { status, headers, body, body_base64, message } = canned;
    let bytes = body_base64.and_then(|text| payload::from_base64(&text)).map(Bytes::from);
    let error = || {
        let message = message.unwrap_or_else(|| format!("simulated error {status}"));
        Answer::error(style, &Refusal::new(status, message))
    };
    let body = bytes.or_else(|| body.map(Bytes::from));
    let mut answer = body.map_or_else(error, |body| Answer { body, ..Answer::empty(status) });
    let replaced = |name: &String| headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    answer.headers.retain(|(name, _)| !replaced(name));
    answer.headers.extend(headers);
    Ok(exchange.answer(answer).await?)
}

/// The error format of a path.
fn error_style(format: ApiFormat, path: &str) -> ErrorStyle {
    if path == "/v1/messages" {
        ErrorStyle::Anthropic
    } else if format == ApiFormat::Openai {
        ErrorStyle::Vllm
    } else if path.starts_with("/v1/") {
        ErrorStyle::OpenAi
    } else {
        ErrorStyle::Native
    }
}

fn record(context: &Context, knobs: &Knobs, received: &Received) {
    let kept = received.body.len().min(knobs.record_body_bytes);
    let Received { head, operation, .. } = received;
    let request = ReceivedRequest {
        sequence: 0,
        connection: context.id,
        operation: operation.name(),
        method: head.method.clone(),
        path: head.path.clone(),
        query: head.query.clone(),
        http_minor: head.minor,
        headers: head.headers.clone(),
        framing: head.framing,
        body_length: match head.framing {
            ReceivedFraming::ContentLength(length) => length,
            ReceivedFraming::None | ReceivedFraming::Chunked => received.body_length,
        },
        body: Bytes::copy_from_slice(&received.body[..kept]),
    };
    context.shared.ring.push(request, knobs.record_requests);
}

/// Answers a request which cannot be read, and closes.
async fn refuse(link: &mut Link, status: u16, message: &str) -> Ending {
    let head = format!("HTTP/1.1 {status} {}\r\nContent-Type: text/plain; charset=utf-8\r\n", reason(status));
    let answer = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{message}", message.len());
    if link.send_unwatched(answer.as_bytes()).await.is_ok() {
        link.linger(LINGER).await;
    }
    Ending::Close
}

async fn refuse_unread(link: &mut Link, status: u16) -> Result<(), ClientGone> {
    let body = format!("{{\"error\":\"{}\"}}", reason(status));
    let head = format!("HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\n", reason(status));
    let answer = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    link.send_unwatched(answer.as_bytes()).await
}
