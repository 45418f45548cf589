//! Whether a request is translated for the backend that it goes to, and why.
//!
//! What is said in which API is `protocol::translate`. Here is what only a node knows: which API the backend speaks, as far
//! as it has shown, and which properties are pinned there.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use ollamaflow_protocol::header as names;
use ollamaflow_protocol::object::{ApiFormat, Frontend};
use ollamaflow_protocol::route::{self, Operation};
use ollamaflow_protocol::translate::pins::{self, Mapped};
use ollamaflow_protocol::translate::{self, Native, Occasion, Refused, Request, Translated};

use super::forward::Asked;
use super::ingress::Admitted;
use super::naming::Named;
use super::refusal::Refusal;
use super::respond::add;
use super::{images, intake, naming};
use crate::actors::{BackendHandle, BackendView};
use crate::clock;
use crate::media::Fetcher;

const TRANSLATION: HeaderName = HeaderName::from_static(names::TRANSLATION);
const DROPPED: HeaderName = HeaderName::from_static(names::DROPPED);

/// The longest header value, in bytes.
const MAX_TOLD: usize = 1024;

/// A request in neutral form, read when the first backend needs it so.
#[derive(Debug, Default)]
pub(super) struct Translating<'a> {
    read: RefCell<Option<Result<Rc<Request>, Refused>>>,
    fetcher: Option<&'a Fetcher>,
    /// The model as the client names it.
    pub(super) model: Option<&'a str>,
}

/// How a request goes to one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As the client wrote it. The backend may turn out not to know the path.
    Untouched(Native),
    /// In the backend's own API.
    Translated(Reason),
}

/// Why a request is translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The backend does not speak the client's API.
    Api,
    /// Pinned properties that the client's API has no word for at this backend.
    Pins(Vec<String>),
}

/// What became of a request that is translated.
pub(super) enum Saying {
    Sent(Box<Said>),
    /// No backend is needed: this is the answer.
    Here(Vec<u8>),
}

/// A request in the API of a backend.
pub(super) struct Said {
    pub(super) operation: Operation,
    /// Before anything is pinned.
    pub(super) body: Bytes,
    pub(super) pinned: Bytes,
    /// What is left out.
    pub(super) dropped: Vec<String>,
    /// Makes the client's answer of the backend's.
    pub(super) answer: translate::Answer,
}

/// What the headers of an answer tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    way: Became,
    dropped: Vec<String>,
}

#[derive(Clone, Debug, Default)]
enum Became {
    /// It went as it came.
    #[default]
    Itself,
    Another(Operation, Reason),
    /// It took no backend.
    Nothing,
}

// === impl Way ===

impl Way {
    /// How a request for `operation` goes to a backend.
    pub(super) fn to(
        backend: &BackendHandle,
        view: &BackendView,
        operation: Operation,
        frontend: &Frontend,
    ) -> Self {
        let format = view.config.api_format;
        let native = backend.native(view, operation);
        if native == Native::No {
            return Self::Translated(Reason::Api);
        }
        // Ollama's layer for other APIs passes over what it does not know, and a pin is not to be passed over.
        if format == ApiFormat::Ollama && Request::is_translatable(operation, format) {
            let lost: Vec<String> = mapped(operation, frontend, view, operation)
                .into_iter()
                .flat_map(|mapped| mapped.lost)
                .collect();
            if !lost.is_empty() {
                return Self::Translated(Reason::Pins(lost));
            }
        }
        Self::Untouched(native)
    }
}

/// The pins of frontend and backend, in the API in which the backend is addressed: by `operation` there. `asked` is the
/// client's operation, which decides which pins apply.
pub(super) fn mapped<'a>(
    asked: Operation,
    frontend: &'a Frontend,
    view: &'a BackendView,
    operation: Operation,
) -> [Mapped<'a>; 2] {
    let format = view.config.api_format;
    intake::pins(asked, frontend, &view.config).map(|own| pins::for_operation(own, operation, format))
}

// === impl Translating ===

impl<'a> Translating<'a> {
    /// Nothing is read yet. `fetcher` gets images that are named by URL.
    pub(super) fn new(fetcher: &'a Fetcher, model: Option<&'a str>) -> Self {
        Self { read: RefCell::default(), fetcher: Some(fetcher), model }
    }

    /// The request in neutral form, ready to be written for a backend of `format`.
    pub(super) async fn request(
        &self,
        admitted: &Admitted,
        path: &str,
        body: &[u8],
        format: ApiFormat,
    ) -> Result<Rc<Request>, Refusal> {
        let mut request = self.read(admitted.operation, path, body)?;
        if format == ApiFormat::Ollama && request.has_remote_media() {
            images::fetch(Rc::make_mut(&mut request), &admitted.config, self.fetcher).await?;
            *self.read.borrow_mut() = Some(Ok(request.clone()));
        }
        Ok(request)
    }

    fn read(&self, operation: Operation, path: &str, body: &[u8]) -> Result<Rc<Request>, Refused> {
        let mut known = self.read.borrow_mut();
        known.get_or_insert_with(|| read(operation, path, body).map(Rc::new)).clone()
    }
}

/// The client's own body as one backend gets it: with that backend's name for the model, if it has another one, and with
/// the pins.
pub(super) fn own_body(
    request: &HttpRequest,
    admitted: &Admitted,
    view: &BackendView,
    asked: Asked,
    named: Option<&Named>,
    body: &Bytes,
) -> Result<Bytes, Refusal> {
    let operation = admitted.operation;
    let body = match named {
        Some(named) => {
            Cow::Owned(naming::with_model(operation, naming::content_type(request), body, &named.sent)?)
        }
        None => Cow::Borrowed(body),
    };
    let mapped = mapped(operation, &admitted.config, view, operation);
    let pins = mapped.each_ref().map(|mapped| &*mapped.pins);
    let pins = match asked {
        // The frontend's are in it, and what was generated is taken off its limits of tokens.
        Asked::ToContinue => &pins[1..],
        Asked::ByClient | Asked::OfMany | Asked::Translated => &pins[..],
    };
    Ok(intake::merged(&body, pins)?)
}

/// A client's request in neutral form.
pub(super) fn read(operation: Operation, path: &str, body: &[u8]) -> Result<Request, Refused> {
    let model = if operation == Operation::OpenAiModel { route::model_of(path) } else { None };
    Request::read(operation, model.as_deref(), body)
}

/// The request in the API of one backend. `asked` is the client's operation, `model` the name that this backend gets if it is
/// not the one that the client has written.
pub(super) fn say(
    request: &Request,
    asked: Operation,
    model: Option<&str>,
    frontend: &Frontend,
    view: &BackendView,
) -> Result<Saying, Refusal> {
    let format = view.config.api_format;
    let occasion = occasion();
    if let Some(answer) = request.answer_here(format, occasion) {
        return Ok(Saying::Here(answer));
    }
    let request = model.map_or(Cow::Borrowed(request), |model| request.named(model));
    let Translated { operation, body, mut dropped, answer } = request.write(format, occasion)?;
    let mut body = Bytes::from(body);
    if let Some(model) = model {
        body = naming::with_model(operation, "", &body, model)?;
    }
    let mapped = mapped(asked, frontend, view, operation);
    let pinned = intake::merged(&body, &mapped.each_ref().map(|mapped| &*mapped.pins))?;
    for lost in mapped.into_iter().flat_map(|mapped| mapped.lost) {
        // The client may have asked for the same.
        if !dropped.contains(&lost) {
            dropped.push(lost);
        }
    }
    Ok(Saying::Sent(Box::new(Said { operation, body, pinned, dropped, answer })))
}

/// The occasion of an attempt. Only names are made from its number.
fn occasion() -> Occasion {
    Occasion { now: clock::now(), nonce: fastrand::u128(..) }
}

// === impl Told ===

impl Told {
    /// The request became one for `operation`.
    pub(super) fn translated(operation: Operation, reason: Reason, dropped: Vec<String>) -> Self {
        Self { way: Became::Another(operation, reason), dropped }
    }

    /// The request was answered here.
    pub(super) fn here() -> Self {
        Self { way: Became::Nothing, dropped: Vec::new() }
    }

    /// Writes the headers; `asked` is the client's operation.
    pub(super) fn write(&self, asked: Operation, headers: &mut HeaderMap) {
        let way = match self.way(asked) {
            Cow::Borrowed(way) => HeaderValue::from_static(way),
            Cow::Owned(way) => text(way),
        };
        add(headers, TRANSLATION, way);
        if !self.dropped.is_empty() {
            let names: Vec<Cow<'_, str>> = self.dropped.iter().map(|name| listed(name)).collect();
            headers.insert(DROPPED, text(names.join(", ")));
        }
    }

    /// What was left out.
    pub(super) fn into_dropped(self) -> Vec<String> {
        self.dropped
    }

    /// What became of a request for `asked`, and why.
    pub(super) fn way(&self, asked: Operation) -> Cow<'static, str> {
        let (operation, reason) = match &self.way {
            Became::Another(operation, reason) => (operation, reason),
            Became::Itself => return Cow::Borrowed("none"),
            Became::Nothing => return Cow::Borrowed("answered here"),
        };
        let path = |operation: Operation| operation.upstream_path().unwrap_or("/v1/models/{id}");
        let reason = match reason {
            Reason::Api => "api".to_owned(),
            Reason::Pins(pins) => format!("pins {}", pins.join(" ")),
        };
        Cow::Owned(format!("{} to {}; {reason}", path(asked), path(*operation)))
    }
}

/// A name in a list that a header holds: names come from clients, and one that cannot stand there as it is gets escaped.
fn listed(name: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"' | b'\\');
    if !name.is_empty() && name.bytes().all(is_plain) {
        return Cow::Borrowed(name);
    }
    // No more of it than is told in any case.
    let shown = name.char_indices().nth(MAX_TOLD).map_or(name, |(end, _)| &name[..end]);
    Cow::Owned(format!("\"{}\"", shown.escape_default()))
}

/// A header value, cut to what is told.
fn text(mut value: String) -> HeaderValue {
    // Pins have names, too.
    value.retain(|c| matches!(c, ' '..='~'));
    value.truncate(MAX_TOLD);
    HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(told: &Told) -> (String, String) {
        let mut headers = HeaderMap::new();
        told.write(Operation::AnthropicMessages, &mut headers);
        let of = |name| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        (of(TRANSLATION), of(DROPPED))
    }

    #[test]
    fn headers_tell_what_a_request_became_and_why() {
        assert_eq!(written(&Told::default()), ("none".to_owned(), String::new()));
        let told = Told::translated(
            Operation::OllamaChat,
            Reason::Api,
            vec!["metadata".to_owned(), "a\nb\u{e9}".to_owned()],
        );
        assert_eq!(
            written(&told),
            ("/v1/messages to /api/chat; api".to_owned(), r#"metadata, "a\nb\u{e9}""#.to_owned())
        );
        let pins = Reason::Pins(vec!["options.num_ctx".to_owned(), "keep_alive".to_owned()]);
        let (way, _) = written(&Told::translated(Operation::OllamaChat, pins, Vec::new()));
        assert_eq!(way, "/v1/messages to /api/chat; pins options.num_ctx keep_alive");
    }

    #[test]
    fn what_was_left_out_is_told_up_to_a_bound() {
        let names = (0..1000).map(|number| format!("field{number}")).collect();
        let (_, dropped) = written(&Told::translated(Operation::OllamaChat, Reason::Api, names));
        assert_eq!(dropped.len(), MAX_TOLD);
    }
}
