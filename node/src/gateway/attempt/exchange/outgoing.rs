//! The request as one backend gets it: the client's bytes with the pins in them, or another API's.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use bytes::Bytes;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate;
use ollamaflow_protocol::wire::Usage;

use super::{Attempted, Attempts, Exchange};
use crate::actors::{Outcome, Permit};
use crate::gateway::answer::{Answer, AnswerBody};
use crate::gateway::forward::Asked;
use crate::gateway::intake::Intake;
use crate::gateway::manage::ManageError;
use crate::gateway::naming::{self, Named};
use crate::gateway::patience::Progress;
use crate::gateway::refusal::Refusal;
use crate::gateway::translating::{Reason, Saying, Told, own_body, say};
use crate::telemetry::Excerpt;
use crate::upstream::RequestBody;

/// A request as it is sent.
pub(super) struct Outgoing<'b> {
    pub(super) operation: Operation,
    pub(super) asked: Asked,
    pub(super) body: Body<'b>,
    pub(super) told: Told,
    /// Makes the client's answer of the backend's.
    pub(super) translation: Option<Box<translate::Answer>>,
    /// What was written for the backend in its own API, before its own pins are in it.
    pub(super) written: Option<Bytes>,
    /// The name that the backend gets for the model, if it is not the one that the client has written.
    pub(super) named: Option<Box<Named>>,
}

pub(super) enum Body<'b> {
    Whole(RequestBody),
    Arriving(&'b mut RequestBody, &'b Progress, Option<&'b Excerpt>),
}

/// What there is to do.
pub(super) enum Prepared<'b> {
    Outgoing(Outgoing<'b>),
    /// No backend is needed: this is the answer.
    Here(Vec<u8>),
}

// === impl Exchange ===

impl Exchange<'_> {
    /// The request in the client's own API.
    pub(super) fn untouched<'b>(&self, body: &'b mut Intake) -> Result<Prepared<'b>, Refusal> {
        let operation = self.attempts.admitted.operation;
        let named = self.named(false);
        let body = match (body, &named) {
            (Intake::Kept(bytes) | Intake::Once(bytes), named) => {
                let Attempts { request, admitted, .. } = self.attempts;
                let named = named.as_deref();
                Body::Whole(full(own_body(request, admitted, self.view, self.asked, named, bytes)?))
            }
            (Intake::Streaming(stream, progress, start), None) => {
                Body::Arriving(stream, progress, start.as_deref())
            }
            // Held whole by the intake, since it asks for this.
            (Intake::Streaming(..), Some(_)) => return Err(Refusal::NotWhole),
        };
        let (translation, written) = (None, None);
        let told = Told::default();
        let asked = self.asked;
        Ok(Prepared::Outgoing(Outgoing { operation, asked, body, told, translation, written, named }))
    }

    /// The request in the backend's API.
    pub(super) async fn translated<'b>(
        &self,
        body: &mut Intake,
        reason: &Reason,
    ) -> Result<Prepared<'b>, Refusal> {
        // Held whole by the intake, since such a backend may be chosen.
        let (Intake::Kept(bytes) | Intake::Once(bytes)) = body else { return Err(Refusal::NotWhole) };
        let admitted = self.attempts.admitted;
        let format = self.view.config.api_format;
        let path = self.attempts.request.path();
        let request = self.attempts.translating.request(admitted, path, bytes, format).await?;
        let named = self.named(true);
        let model = named.as_ref().map(|named| named.sent.as_str());
        let said = match say(&request, admitted.operation, model, &admitted.config, self.view)? {
            Saying::Here(answer) => {
                let Attempts { query, translating, .. } = self.attempts;
                if admitted.frontend.has_model(self.view, query) == Some(false) {
                    let model = translating.model.unwrap_or_default().to_owned();
                    return Err(ManageError::NoModel(model).into());
                }
                return Ok(Prepared::Here(answer));
            }
            Saying::Sent(said) => *said,
        };
        Ok(Prepared::Outgoing(Outgoing {
            operation: said.operation,
            asked: Asked::Translated,
            body: Body::Whole(full(said.pinned)),
            told: Told::translated(said.operation, reason.clone(), said.dropped),
            translation: Some(Box::new(said.answer)),
            written: Some(said.body),
            named,
        }))
    }

    /// The name that the backend gets for the model, if it is not the one that the client has written.
    fn named(&self, made: bool) -> Option<Box<Named>> {
        let Attempts { admitted, query, translating, .. } = self.attempts;
        naming::at(query, translating.model, &admitted.config, self.view, made).map(Box::new)
    }

    /// An answer that took no backend but the choice of one.
    pub(super) fn answered_here(&self, body: Vec<u8>, mut permit: Permit) -> Attempted {
        permit.finish(Outcome::Declined);
        Attempted::Answered(Box::new(Answer {
            backend: permit.backend().clone(),
            status: StatusCode::OK,
            headers: vec![(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json; charset=utf-8"),
            )],
            body: AnswerBody::Whole(Bytes::from(body)),
            operation: self.attempts.admitted.operation,
            format: None,
            resumable: None,
            translation: None,
            written: None,
            told: Told::here(),
            named: None,
            usage: Usage::default(),
        }))
    }
}

fn full(body: Bytes) -> RequestBody {
    if body.is_empty() { RequestBody::Empty } else { RequestBody::Full(body) }
}
