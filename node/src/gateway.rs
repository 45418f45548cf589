//! The gateway: a client's request on its way to a backend, and the answer on its way back.
//!
//! Data flows one way: ingress (who is meant, may they) -> intake (the body, bounded) -> attempt (choose, send,
//! try another) -> relay (bytes as they come). Errors leave by one door, `refusal`. Nothing here is shared
//! between workers but the directory that the actors publish.

mod attempt;
mod cors;
mod forward;
mod hop;
mod identity;
mod ingress;
mod intake;
mod patience;
mod refusal;
mod relay;
mod respond;
mod statics;
mod unread;

use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse, fn_service};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use ollamaflow_protocol::route::{self, Route};

use self::ingress::Admitted;
use self::refusal::Refusal;
use crate::actors::Directory;
use crate::listener::{Connection, Keeping};
use crate::upstream;

pub(crate) use self::cors::preflight;
pub(crate) use self::identity::RequestId;
pub(crate) use self::respond::finish;
pub(crate) use self::unread::watch as watch_unread;

/// What the settings say about carrying requests.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Longest pause between two pieces of a request body; `Webserver.IO.ReadTimeoutMs`.
    pub read_timeout: Duration,
    /// Headers for every response that does not have them; `Webserver.Headers.DefaultHeaders`.
    pub default_headers: Vec<(HeaderName, HeaderValue)>,
}

/// What one worker needs to carry requests. Cheap to clone within its thread.
#[derive(Clone)]
pub struct Gateway {
    directory: Arc<Directory>,
    settings: Arc<GatewaySettings>,
    upstream: upstream::Client,
}

// === impl Gateway ===

impl Gateway {
    /// One per worker thread, made on that thread.
    pub fn new(
        directory: Arc<Directory>,
        settings: Arc<GatewaySettings>,
        upstream: upstream::Client,
    ) -> Self {
        Self { directory, settings, upstream }
    }

    /// The service for every path that is not the admin API's.
    pub fn into_service(
        self,
    ) -> impl actix_web::dev::ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<BoxBody>,
        Error = actix_web::Error,
        InitError = (),
    > {
        fn_service(move |request: ServiceRequest| {
            let gateway = self.clone();
            async move {
                let (request, payload) = request.into_parts();
                let response = gateway.serve(&request, payload).await;
                Ok(ServiceResponse::new(request, response))
            }
        })
    }

    /// Answers one request; every way out has the id and the CORS headers.
    async fn serve(&self, request: &HttpRequest, payload: Payload) -> HttpResponse<BoxBody> {
        let id = RequestId::random();
        let answer = Connection::answer(request);
        let (payload, unread) = unread::watch(request, payload);
        let outcome = match self.direct(request) {
            Direction::Backend(admitted) => self.carry(request, payload, &admitted, &id).await,
            Direction::Aside(outcome) => {
                // The server closes a connection whose request has a body that nobody took. What has arrived of it is
                // taken while this waits for its next turn.
                tokio::task::yield_now().await;
                drop(payload);
                outcome
            }
        };
        let mut response = match outcome {
            Ok(response) => response,
            Err(refusal) => {
                let protocol = route::client_protocol(request.path());
                tracing::debug!(
                    request = %id.as_str(), method = %request.method(), path = request.path(),
                    status = refusal.status().as_u16(), reason = %refusal, "request refused"
                );
                refusal.into_response(protocol, request.method())
            }
        };
        finish(response.headers_mut(), &id, &self.settings.default_headers);
        response.map_body(|_, body| {
            let unread = unread.under(body.size());
            Keeping::new(body, (answer, unread)).boxed()
        })
    }

    /// Where a request goes, by its head alone.
    fn direct(&self, request: &HttpRequest) -> Direction {
        if request.method() == actix_web::http::Method::OPTIONS {
            return Direction::Aside(Ok(preflight(request)));
        }
        Direction::Aside(match route::classify(request.method().as_str(), request.path()) {
            Route::Proxy(operation) => match ingress::admit(&self.directory, request, operation) {
                Ok(admitted) => return Direction::Backend(admitted),
                Err(refusal) => Err(refusal),
            },
            Route::Root => Ok(statics::root(request)),
            Route::Favicon => Ok(statics::favicon()),
            Route::MethodNotAllowed { allow } => Err(Refusal::MethodNotAllowed { allow }),
            Route::DotSegment => Err(Refusal::DotSegment),
            Route::Admin | Route::NotFound => Err(Refusal::NotFound),
        })
    }

    /// An admitted request's way, top to bottom.
    async fn carry(
        &self,
        request: &HttpRequest,
        payload: Payload,
        admitted: &Admitted,
        id: &RequestId,
    ) -> Result<HttpResponse<BoxBody>, Refusal> {
        let body = intake::read(request, payload, admitted, &self.settings).await?;
        let answer = attempt::run(&self.upstream, request, admitted, body, id).await?;
        Ok(respond::relay(request, admitted, answer))
    }
}

/// Where a request goes.
enum Direction {
    /// To a backend.
    Backend(Admitted),
    /// Nowhere: it is answered here.
    Aside(Result<HttpResponse<BoxBody>, Refusal>),
}
