//! A backend's answer, as far as it has come when it is known that the client gets it.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use bytes::Bytes;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate;
use ollamaflow_protocol::wire::{StreamFormat, Usage, UsageWatch};
use smallvec::SmallVec;

use super::naming::Named;
use super::resume::Resumable;
use super::translating::Told;
use crate::actors::{BackendHandle, Permit};
use crate::upstream::{BodyKind, ResponseBody};

/// Bytes that were read ahead, in order.
pub(super) type Held = SmallVec<[Bytes; 2]>;

/// An answer whose head has arrived.
pub(super) struct Answer {
    pub(super) backend: Arc<BackendHandle>,
    pub(super) status: StatusCode,
    /// As received, in order.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: AnswerBody,
    /// What the backend was asked; not always what the client did.
    pub(super) operation: Operation,
    /// The format of the backend's stream, if its frames can be read.
    pub(super) format: Option<StreamFormat>,
    /// There if it may go on at another backend should this one die.
    pub(super) resumable: Option<Box<Resumable>>,
    /// Makes the client's stream of the backend's.
    pub(super) translation: Option<Box<translate::Answer>>,
    /// The body that was written for the backend in its own API.
    pub(super) written: Option<Bytes>,
    /// What the client is told about that.
    pub(super) told: Told,
    /// There if the backend got another name of the model than the client wrote.
    pub(super) named: Option<Box<Named>>,
    /// The tokens of an answer that was read and translated as a whole.
    pub(super) usage: Usage,
}

/// The body of an answer.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are alive, and a box would be an allocation for each"
)]
pub(super) enum AnswerBody {
    /// Still arriving.
    Live(Live),
    /// Read to its end: an error that was judged. The backend has nothing more to do with it.
    Whole(Bytes),
}

/// A body that is still arriving.
pub(super) struct Live {
    /// What was read to judge the answer.
    pub(super) held: Held,
    pub(super) rest: ResponseBody,
    pub(super) permit: Permit,
    /// Longest silence.
    pub(super) idle: Option<Duration>,
}

// === impl Answer ===

impl Answer {
    /// Whether there is no body at all: an answer to HEAD, 204 or 304.
    pub(super) fn has_no_body(&self) -> bool {
        matches!(&self.body, AnswerBody::Live(live) if live.rest.kind() == BodyKind::Empty)
    }

    /// The first value of a header.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        let value = self.headers.iter().find(|(known, _)| known == name)?;
        value.1.to_str().ok()
    }

    /// The media type of the body; empty where it has none.
    pub(super) fn media_type(&self) -> &str {
        self.header(&header::CONTENT_TYPE).unwrap_or_default()
    }

    /// Whether the body is in a coding, so that its bytes say nothing.
    pub(super) fn is_coded(&self) -> bool {
        let coding = self.header(&header::CONTENT_ENCODING);
        coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
    }

    /// The format of a stream whose frames can be read.
    pub(super) fn stream_format(&self) -> Option<StreamFormat> {
        if self.is_coded() {
            return None;
        }
        StreamFormat::of(self.operation, self.media_type())
    }

    /// Counts the tokens of a good answer that is no stream.
    pub(super) fn bill(&self) -> Option<UsageWatch> {
        let is_coded = self.header(&header::CONTENT_ENCODING).is_some();
        if self.status == StatusCode::OK && !is_coded { UsageWatch::new(self.operation) } else { None }
    }

    /// The body is changed on its way: what the backend said of its bytes does not hold.
    pub(super) fn is_rewritten(&mut self) {
        self.headers.retain(|(name, _)| {
            !matches!(name.as_str(), "content-length" | "etag" | "content-md5" | "digest" | "content-digest")
        });
    }

    /// The body becomes another one, of this media type.
    pub(super) fn is_now(&mut self, media_type: &'static str) {
        self.headers.retain(|(name, _)| {
            !matches!(
                *name,
                header::CONTENT_TYPE | header::CONTENT_LENGTH | header::CONTENT_ENCODING | header::ETAG
            )
        });
        self.headers.push((header::CONTENT_TYPE, HeaderValue::from_static(media_type)));
    }
}
