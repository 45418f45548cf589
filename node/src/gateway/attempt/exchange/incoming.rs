//! The answer, read as far as it takes to know whether the client gets it, and made the client's where it is in another
//! API.

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header;
use bytes::{Bytes, BytesMut};
use ollamaflow_protocol::route::{ClientProtocol, Kind};
use ollamaflow_protocol::translate::{self, AnswerError, Broken, MAX_WHOLE, Native, Request};
use ollamaflow_protocol::wire::FirstContent;
use ollamaflow_protocol::wire::fault::{self, Fault};

use super::{Attempted, Attempts, Exchange, Verdict, failed, timed_out, unanswered};
use crate::actors::Outcome;
use crate::clock;
use crate::gateway::answer::{Answer, AnswerBody, Held, Live};
use crate::gateway::attempt::shelf::Failure;
use crate::gateway::identity::named;
use crate::gateway::patience::within;
use crate::gateway::refusal::Refusal;
use crate::gateway::relay;
use crate::gateway::translating::Way;

/// An error's body is read up to this size to be judged; a larger one is passed on as it is.
const JUDGED_BYTES: usize = 64 * 1024;

/// How long a stream is held back that has begun but has no content: whoever waits behind proxies needs signs of life.
const LONGEST_HOLD: Duration = Duration::from_secs(10);

/// How long a backend is left alone that says it is busy, and not for how long.
const BUSY: Duration = Duration::from_secs(1);

/// What the beginning of an answer's body says.
enum Beginning {
    /// There is content, or all of it is there.
    Content(Held),
    /// An error frame came first.
    Error(String),
    /// It broke off.
    Broken(Refusal),
}

// === impl Exchange ===

impl Exchange<'_> {
    /// Reads on until it is clear whether the client gets this answer.
    pub(super) async fn judge(
        &self,
        mut answer: Box<Answer>,
        way: &Way,
        started: Instant,
        cold: bool,
    ) -> Verdict {
        let is_error = answer.status.is_client_error() || answer.status.is_server_error();
        if answer.translation.is_some() && (answer.has_no_body() || !answer.status.is_success() && !is_error)
        {
            return Verdict::Judged(no_answer(answer));
        }
        if answer.has_no_body() {
            return Verdict::Judged(Attempted::Answered(answer));
        }
        if is_error {
            return Box::pin(self.judge_error(answer, way)).await;
        }
        let watch = answer.format.map(FirstContent::new);
        let needs_content = answer.status.is_success() && answer.operation.kind() != Kind::Other;
        let AnswerBody::Live(live) = &mut answer.body else {
            return Verdict::Judged(Attempted::Answered(answer));
        };
        Verdict::Judged(match begin(live, watch, needs_content).await {
            Beginning::Content(held) => {
                live.held = held;
                live.permit.answered();
                if needs_content {
                    let now = clock::turn();
                    answer.backend.first_content(now.saturating_duration_since(started), cold, now);
                }
                if *way == Way::Untouched(Native::Perhaps) {
                    answer.backend.speaks(answer.operation);
                }
                match answer.translation.take() {
                    None => Attempted::Answered(answer),
                    Some(translation) => Box::pin(self.translated_answer(answer, translation)).await,
                }
            }
            Beginning::Error(words) => reported(answer, words),
            Beginning::Broken(refusal) => {
                live.permit.finish(Outcome::Failed);
                unanswered(answer.backend.clone(), refusal)
            }
        })
    }

    /// Whose fault an error answer tells, from its status and text.
    async fn judge_error(&self, mut answer: Box<Answer>, way: &Way) -> Verdict {
        let AnswerBody::Live(live) = &mut answer.body else {
            return Verdict::Judged(Attempted::Answered(answer));
        };
        let body = match read_whole(live, JUDGED_BYTES).await {
            Ok(Some(body)) => body,
            Ok(None) => return Verdict::Judged(self.judge_long(answer)),
            Err(refusal) => {
                live.permit.finish(Outcome::Failed);
                return Verdict::Judged(unanswered(answer.backend.clone(), refusal));
            }
        };
        let status = answer.status.as_u16();
        if *way == Way::Untouched(Native::Perhaps)
            && fault::is_unknown_path(status, &body)
            && Request::is_translatable(answer.operation, self.view.config.api_format)
        {
            let AnswerBody::Live(live) = answer.body else {
                return Verdict::Judged(Attempted::Answered(answer));
            };
            return Verdict::NotSpoken(live.permit);
        }
        let fault = match answer.operation.kind() {
            Kind::Embeddings => fault::of_embeddings_answer(status, &body),
            _ => fault::of_answer(status, &body),
        };
        let fault = fault.unwrap_or(Fault::Client);
        live.permit.finish(match fault {
            Fault::Client => Outcome::Complete,
            Fault::Backend => Outcome::Failed,
            Fault::ModelMissing | Fault::Unclear | Fault::Busy => Outcome::Declined,
        });
        let words = fault::error_text(&body).or_else(|| String::from_utf8(body.to_vec()).ok());
        // The slot is free from here on: the backend has nothing more to do.
        answer.body = AnswerBody::Whole(body);
        self.in_clients_words(&mut answer);
        match fault {
            Fault::Client => return Verdict::Judged(Attempted::Answered(answer)),
            Fault::Busy => cool_down(&answer),
            Fault::ModelMissing => answer.backend.models_changed(),
            Fault::Backend | Fault::Unclear => {}
        }
        Verdict::Judged(Attempted::Failed(Failure {
            backend: answer.backend.clone(),
            fault,
            words,
            given: Ok(answer),
        }))
    }

    /// An error that was read as a whole, in the client's API.
    fn in_clients_words(&self, answer: &mut Answer) {
        let Some(translation) = answer.translation.take() else { return };
        let AnswerBody::Whole(body) = &answer.body else { return };
        let (status, body) = translation.error(answer.status.as_u16(), body);
        answer.status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        answer.format = None;
        self.is_now_error(answer, body);
    }

    /// This error of the client's API is what the client gets.
    fn is_now_error(&self, answer: &mut Answer, body: Vec<u8>) {
        let Attempts { admitted, id, .. } = self.attempts;
        let is_named = admitted.operation.protocol() == ClientProtocol::Anthropic;
        let body = if is_named { named(body, id) } else { body };
        answer.is_now("application/json");
        // It speaks of the credentials of this node.
        answer.headers.retain(|(name, _)| *name != header::WWW_AUTHENTICATE);
        answer.body = AnswerBody::Whole(Bytes::from(body));
    }

    /// Of an error page that is too long for an error message the status may be enough; else the client gets it, whatever
    /// it is.
    #[cold]
    fn judge_long(&self, mut answer: Box<Answer>) -> Attempted {
        let fault = fault::of_answer(answer.status.as_u16(), b"");
        let is_translated = answer.translation.is_some();
        let AnswerBody::Live(live) = &mut answer.body else { return Attempted::Answered(answer) };
        let fault = match fault {
            Some(fault @ (Fault::Backend | Fault::Busy)) => fault,
            // A page is no error message that could be said in another API.
            _ if is_translated => {
                live.permit.finish(Outcome::Complete);
                answer.body = AnswerBody::Whole(Bytes::from_static(b"the backend answered with a long page"));
                self.in_clients_words(&mut answer);
                return Attempted::Answered(answer);
            }
            _ => return Attempted::Answered(answer),
        };
        live.permit.finish(if fault == Fault::Busy { Outcome::Declined } else { Outcome::Failed });
        let refusal = failed(&live.permit, format!("it answered {} with a long page", answer.status));
        if fault == Fault::Busy {
            cool_down(&answer);
        }
        let backend = answer.backend.clone();
        Attempted::Failed(Failure { backend, fault, words: None, given: Err(refusal) })
    }

    /// A good answer in the client's API: as it comes, if that is what both sides do, else as a whole.
    async fn translated_answer(
        &self,
        mut answer: Box<Answer>,
        mut translation: Box<translate::Answer>,
    ) -> Attempted {
        let media_type = answer.media_type().to_owned();
        let theirs = translation.media_type();
        if translation.is_stream() && translate::Answer::is_streamed(&media_type) {
            answer.is_now(theirs);
            answer.translation = Some(translation);
            return Attempted::Answered(answer);
        }
        let AnswerBody::Live(live) = &mut answer.body else { return Attempted::Answered(answer) };
        let body = match read_whole(live, MAX_WHOLE).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                live.permit.finish(Outcome::Declined);
                let why = format!("its answer is larger than the {MAX_WHOLE} bytes that are translated");
                return unanswered(answer.backend.clone(), failed(&live.permit, why));
            }
            Err(refusal) => {
                live.permit.finish(Outcome::Failed);
                return unanswered(answer.backend.clone(), refusal);
            }
        };
        match translation.whole(&media_type, &body, clock::now()) {
            Ok(body) => {
                live.permit.finish(Outcome::Complete);
                answer.usage = translation.usage();
                answer.is_now(theirs);
                answer.format = None;
                answer.body = AnswerBody::Whole(Bytes::from(body));
                Attempted::Answered(answer)
            }
            Err(e @ AnswerError::NoSuchModel(_)) => {
                live.permit.finish(Outcome::Declined);
                let (_, body) = translation.error(404, e.to_string().as_bytes());
                answer.status = StatusCode::NOT_FOUND;
                self.is_now_error(&mut answer, body);
                let (backend, fault) = (answer.backend.clone(), Fault::ModelMissing);
                Attempted::Failed(Failure { backend, fault, words: None, given: Ok(answer) })
            }
            Err(AnswerError::Broken(Broken::Reported(words))) => reported(answer, words),
            Err(AnswerError::Broken(broken)) => {
                live.permit.finish(Outcome::Failed);
                unanswered(answer.backend.clone(), failed(&live.permit, broken.to_string()))
            }
        }
    }
}

/// What the backend sent says nothing that could be said in another API: a redirect, or a status without a body.
#[cold]
fn no_answer(mut answer: Box<Answer>) -> Attempted {
    let AnswerBody::Live(live) = &mut answer.body else { return Attempted::Answered(answer) };
    live.permit.finish(Outcome::Failed);
    let refusal = failed(&live.permit, format!("it answered {}, which is no answer", answer.status));
    unanswered(answer.backend.clone(), refusal)
}

/// The backend has told of an error instead of an answer, though its status said otherwise.
#[cold]
fn reported(mut answer: Box<Answer>, words: String) -> Attempted {
    let AnswerBody::Live(live) = &mut answer.body else { return Attempted::Answered(answer) };
    let fault = fault::of_message(&words);
    let outcome = if fault == Fault::Backend { Outcome::Failed } else { Outcome::Declined };
    live.permit.finish(outcome);
    let refusal = failed(&live.permit, words.clone());
    let backend = answer.backend.clone();
    Attempted::Failed(Failure { backend, fault, words: Some(words), given: Err(refusal) })
}

/// Leaves a backend alone for as long as it asks for.
#[cold]
fn cool_down(answer: &Answer) {
    let asked = answer.header(&header::RETRY_AFTER);
    let time = asked.and_then(|value| fault::retry_after(value, clock::now()));
    answer.backend.cool_down(time.unwrap_or(BUSY), Instant::now());
}

/// Reads the body up to its first content. Until that is there, another backend can still answer.
async fn begin(live: &mut Live, mut watch: Option<FirstContent>, needs_content: bool) -> Beginning {
    let mut held = Held::new();
    let mut held_since = None;
    let mut size = 0;
    loop {
        let bytes = match next(live).await {
            Ok(Some(bytes)) => bytes,
            // An empty body is one too; the relay knows whether this is its end.
            Ok(None) if watch.is_none() && !(needs_content && held.is_empty()) => {
                return Beginning::Content(held);
            }
            Ok(None) => {
                let refusal = failed(&live.permit, "the answer ended before it had any content".to_owned());
                return Beginning::Broken(refusal);
            }
            Err(refusal) => return Beginning::Broken(refusal),
        };
        let has_content = watch.as_mut().is_none_or(|watch| watch.push(&bytes));
        size += bytes.len();
        held.push(bytes);
        if !has_content && size <= JUDGED_BYTES {
            let since = *held_since.get_or_insert_with(Instant::now);
            if since.elapsed() < LONGEST_HOLD {
                continue;
            }
        }
        return match watch.and_then(|watch| watch.is_error()) {
            Some(words) => Beginning::Error(words),
            None => Beginning::Content(held),
        };
    }
}

/// The whole body behind what is held, if it is not longer than `most`; what was read of one that is stays in
/// `live.held`.
async fn read_whole(live: &mut Live, most: usize) -> Result<Option<Bytes>, Refusal> {
    let mut size: usize = live.held.iter().map(Bytes::len).sum();
    while let Some(bytes) = next(live).await? {
        size += bytes.len();
        live.held.push(bytes);
        if size > most {
            return Ok(None);
        }
    }
    if live.held.len() == 1 {
        return Ok(live.held.pop());
    }
    let mut whole = BytesMut::with_capacity(size);
    live.held.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
    Ok(Some(whole.freeze()))
}

async fn next(live: &mut Live) -> Result<Option<Bytes>, Refusal> {
    match within(live.idle, relay::next(&mut live.rest)).await {
        Some(Some(Ok(bytes))) => Ok(Some(bytes)),
        Some(Some(Err(e))) => Err(failed(&live.permit, e.to_string())),
        Some(None) => Ok(None),
        None => Err(timed_out(&live.permit, live.idle)),
    }
}
