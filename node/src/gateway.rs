//! The gateway: a client's request on its way to a backend, and the answer on its way back.
//!
//! Data flows one way: ingress (who is meant, may they) -> intake (the body, bounded) -> routing (what it asks of a
//! backend) -> attempt (get one, send, judge, try another) -> relay (bytes as they come). Errors leave by one door,
//! `refusal`. What changes models goes to many backends and through `manage` instead. Nothing here is shared between workers but the directory that the actors publish and the tally.

mod account;
mod answer;
mod attempt;
mod closing;
mod cors;
mod forward;
mod hop;
mod identity;
mod images;
mod ingress;
mod intake;
mod journal;
mod keyed;
mod local;
mod manage;
mod merged;
mod naming;
mod origin;
mod patience;
mod preview;
mod refusal;
mod relay;
mod respond;
mod resume;
mod routing;
mod spans;
mod statics;
mod tally;
mod trace;
mod translating;
mod unread;

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse, fn_service};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use ollamaflow_protocol::end::End;
use ollamaflow_protocol::proxies::TrustedProxies;
use ollamaflow_protocol::route::{self, ClientProtocol, Kind, Route};

use self::attempt::Attempts;
use self::ingress::Admitted;
use self::origin::Origin;
use self::refusal::Refusal;
use self::tally::Counted;
use self::trace::Trace;
use self::translating::Translating;
use crate::actors::{Directory, Moment};
use crate::clock;
use crate::cluster::Cluster;
use crate::keys::{Keys, Pass};
use crate::listener::{Connection, Keeping};
use crate::media::Fetcher;
use crate::models::Claims;
use crate::telemetry::{AccessLog, Traces};
use crate::upstream;

pub(crate) use self::account::{Account, Accounted};
pub use self::closing::{Closer, Closing, closing};
pub(crate) use self::cors::preflight;
pub(crate) use self::identity::RequestId;
pub(crate) use self::manage::{Outlook as ManageOutlook, outlook as manage_outlook};
pub use self::merged::Lists;
pub(crate) use self::naming::wish_of;
pub(crate) use self::origin::client_key;
pub(crate) use self::preview::{Outlook, Preview};
pub(crate) use self::respond::finish;
pub(crate) use self::routing::query;
pub use self::tally::Tally;
pub(crate) use self::unread::watch as watch_unread;

/// What the settings say about carrying requests.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// Longest pause between two pieces of a request body; `Webserver.IO.ReadTimeoutMs`.
    pub read_timeout: Duration,
    /// Headers for every response that does not have them; `Webserver.Headers.DefaultHeaders`.
    pub default_headers: Vec<(HeaderName, HeaderValue)>,
    /// Proxies whose word about the client counts; `TrustedProxies`.
    pub trusted_proxies: TrustedProxies,
    /// Headers by which a client names its session, the first that has a value counts; `StickyHeaders`.
    pub sticky_headers: Vec<HeaderName>,
    /// Whether clients can only come from this machine: then they may manage models unless their frontend says otherwise.
    pub is_local: bool,
}

/// What all workers share.
#[derive(Clone)]
pub struct Shared {
    /// The live state.
    pub directory: Arc<Directory>,
    /// What the settings say.
    pub settings: Arc<GatewaySettings>,
    /// What the nodes agree on.
    pub cluster: Cluster,
    /// Who works on which model at which backend.
    pub claims: Claims,
    /// Who is let in by which virtual key.
    pub keys: Arc<Keys>,
    /// How requests ended.
    pub tally: Arc<Tally>,
    /// The merged lists of models.
    pub lists: Arc<Lists>,
    /// Where the line of each request goes.
    pub access: AccessLog,
    /// Where the spans of requests go; none if none are traced.
    pub traces: Option<Traces>,
}

/// What one worker needs to carry requests.
pub struct Gateway {
    directory: Arc<Directory>,
    settings: Arc<GatewaySettings>,
    upstream: upstream::Client,
    fetcher: Fetcher,
    /// What the nodes agree on: which models frontends require.
    cluster: Cluster,
    /// Who works on which model at which backend.
    claims: Claims,
    keys: Arc<Keys>,
    tally: Arc<Tally>,
    lists: Arc<Lists>,
    access: Rc<AccessLog>,
    traces: Option<Traces>,
}

// === impl Gateway ===

impl Gateway {
    /// One per worker thread, made on that thread, in its runtime.
    pub fn new(shared: Shared, upstream: upstream::Client, fetcher: Fetcher, closing: Closing) -> Self {
        closing.listen();
        let Shared { directory, settings, cluster, claims, keys, tally, lists, access, traces } = shared;
        // Requests hold it: to count who does is no matter for all workers.
        let access = Rc::new(access);
        Self { directory, settings, upstream, fetcher, cluster, claims, keys, tally, lists, access, traces }
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
        // Its parts are shared by all workers; to count who holds them for each request would be, too.
        let gateway = Rc::new(self);
        fn_service(move |request: ServiceRequest| {
            let gateway = gateway.clone();
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
        let started = clock::turn();
        let account = Account::begin(&self.access, self.traces.as_ref(), &id, request, started);
        let answer = Connection::answer(request);
        let (payload, unread) = unread::watch(request, payload);
        let mut trace = Trace::begin(account.as_ref());
        let mut protocol = None;
        let mut listening = None;
        let outcome = match self.direct(request, account.as_ref()) {
            Direction::Backend(admitted, pass) => {
                protocol = Some(admitted.operation.protocol());
                if let Some(account) = &account {
                    account.admitted(&admitted);
                }
                journal::came(request, &admitted, &id);
                let mut counted = Some(Counted::begin(&admitted, pass, started, account.as_ref()));
                // Pinned here, since a future that is passed on by value is copied, and held twice.
                let outcome = {
                    let carrying =
                        pin!(self.carry(request, payload, &admitted, &id, &mut trace, &mut counted));
                    closing::unless_closed(carrying).await.unwrap_or(Err(Refusal::Stopping))
                };
                if let Some(counted) = &mut counted {
                    counted.end(End::Error);
                }
                if admitted.config.log_response_body {
                    listening = Some(admitted);
                }
                outcome
            }
            Direction::Aside(outcome) => {
                if let Some(account) = &account {
                    account.came_from(Origin::of(request, &self.settings.trusted_proxies));
                }
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
                let protocol = *protocol.get_or_insert_with(|| route::client_protocol(request.path()));
                tracing::debug!(
                    request = %id.as_str(), method = %request.method(), path = request.path(),
                    status = refusal.status().as_u16(), reason = %refusal.told(), "request refused"
                );
                if let Some(account) = &account {
                    account.failed(refusal.label());
                }
                refusal.into_response(protocol, request.method(), &id)
            }
        };
        trace.write(response.headers_mut());
        if protocol == Some(ClientProtocol::Anthropic) {
            respond::name(response.headers_mut(), &id);
        }
        finish(response.headers_mut(), &id, &self.settings.default_headers);
        let status = response.status();
        if let Some(account) = &account {
            account.answered(status);
        }
        let heard = listening.and_then(|admitted| journal::listener(&admitted, &id, status));
        response.map_body(|_, body| {
            let unread = unread.under(body.size());
            Keeping::new(Accounted::new(body, account).heard_by(heard), (answer, unread)).boxed()
        })
    }

    /// Where a request goes, by its head alone.
    fn direct(&self, request: &HttpRequest, account: Option<&Rc<Account>>) -> Direction {
        if request.method() == actix_web::http::Method::OPTIONS {
            self.tally.aside(true);
            return Direction::Aside(Ok(preflight(request)));
        }
        let outcome = match route::classify(request.method().as_str(), request.path()) {
            Route::Proxy(operation) => {
                return match ingress::admit(
                    &self.directory,
                    &self.keys,
                    &self.settings,
                    request,
                    operation,
                    account,
                ) {
                    Ok((admitted, pass)) => Direction::Backend(admitted, pass),
                    Err(refusal) => {
                        if matches!(refusal, Refusal::NoFrontend(_)) {
                            self.tally.homeless(operation);
                        }
                        Direction::Aside(Err(refusal))
                    }
                };
            }
            Route::Root => Ok(statics::root(request)),
            Route::Favicon => Ok(statics::favicon()),
            Route::MethodNotAllowed { allow } => Err(Refusal::MethodNotAllowed { allow }),
            Route::DotSegment => Err(Refusal::DotSegment),
            Route::Admin | Route::NotFound => Err(Refusal::NotFound),
        };
        self.tally.aside(outcome.is_ok());
        Direction::Aside(outcome)
    }

    /// An admitted request's way, top to bottom.
    async fn carry(
        &self,
        request: &HttpRequest,
        payload: Payload,
        admitted: &Admitted,
        id: &RequestId,
        trace: &mut Trace,
        counted: &mut Option<Counted>,
    ) -> Result<HttpResponse<BoxBody>, Refusal> {
        if manage::is_change(admitted.operation) {
            return Box::pin(self.change(request, payload, admitted, id, trace, counted)).await;
        }
        let mut received = intake::read(request, payload, admitted, &self.settings).await?;
        journal::received(admitted, id, &received.body);
        trace.model(received.facts.model.as_deref());
        let wish = naming::wish(request, admitted.operation, &admitted.config, &mut received)?;
        keyed::check(request, admitted, &mut received, counted.as_ref())?;
        if received.facts.residence.is_some()
            && let Some(answer) =
                Box::pin(self.reside(request, admitted, &received, wish.clone(), id, trace)).await?
        {
            return Ok(manage::answer(request, admitted, answer, counted));
        }
        if local::is_answered_here(admitted.operation) {
            let answer = local::answer(admitted, &received.body)?;
            Counted::settle(counted, End::Complete);
            return Ok(answer);
        }
        let config = &admitted.config;
        let client = config
            .use_sticky_sessions
            .then(|| admitted.origin.client_key(request, &self.settings.sticky_headers));
        let (frontend, operation) = (&admitted.frontend, admitted.operation);
        let query = query(request, frontend, operation, &received.facts, wish, client.as_ref());
        if merged::is_answered_here(operation, request.method(), frontend, &query) {
            let answer = merged::answer(&self.lists, request, admitted, &query).await?;
            let is_error = answer.status().is_client_error();
            Counted::settle(counted, if is_error { End::Error } else { End::Complete });
            return Ok(answer);
        }
        let translating = Translating::new(&self.fetcher, received.facts.model.as_deref());
        let attempts = Attempts {
            client: &self.upstream,
            request,
            admitted,
            query: &query,
            id,
            translating: &translating,
        };
        let answer = attempts.run(received.body, trace, counted).await?;
        trace.answered_by(answer.backend.id());
        if let Some(client) = &client
            && answer.status.is_success()
        {
            let expiry = Duration::from_millis(config.sticky_session_expiration_ms.into());
            frontend.sessions().bind(client, answer.backend.id(), expiry, Moment::now());
        }
        if let Some(counted) = counted
            && operation.kind() != Kind::Other
            && answer.status.is_success()
        {
            let tokens = |model: Option<&str>| self.tally.models().of(model);
            counted.of_model(frontend.known_model(&answer.backend.view(), &query, tokens));
        }
        Ok(respond::relay(request, admitted, answer, counted.take()))
    }
}

/// Where a request goes.
enum Direction {
    /// To a backend.
    Backend(Admitted, Option<Box<Pass>>),
    /// Nowhere: it is answered here.
    Aside(Result<HttpResponse<BoxBody>, Refusal>),
}
