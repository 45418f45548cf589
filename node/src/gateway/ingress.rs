//! Who is meant and whether they may: the frontend, its rules about the request's head, the labels.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::{Version, header};
use ollamaflow_protocol::object::Frontend;
use ollamaflow_protocol::route::{Kind, Operation};

use super::GatewaySettings;
use super::account::Account;
use super::keyed;
use super::origin::Origin;
use super::refusal::Refusal;
use crate::actors::{Directory, FrontendHandle};
use crate::keys::{KeyHandle, Keys, Pass, Shown};

/// A request that its frontend lets in.
#[derive(Clone)]
pub(super) struct Admitted {
    pub(super) operation: Operation,
    pub(super) frontend: Arc<FrontendHandle>,
    /// The frontend's configuration when the request came; it holds for the whole request.
    pub(super) config: Arc<Frontend>,
    /// Who sent it.
    pub(super) origin: Origin,
    /// The virtual key that it came with.
    pub(super) key: Option<Arc<KeyHandle>>,
    /// Where it has shown it.
    pub(super) shown: Shown,
    /// Its account, if it is traced: attempts are spans of their own.
    pub(super) traced: Option<Rc<Account>>,
}

/// Finds the frontend and applies its rules that need no body.
pub(super) fn admit(
    directory: &Directory,
    keys: &Keys,
    settings: &GatewaySettings,
    request: &HttpRequest,
    operation: Operation,
    account: Option<&Rc<Account>>,
) -> Result<(Admitted, Option<Box<Pass>>), Refusal> {
    let host = host(request);
    let frontend = directory
        .frontend_for(host)
        .ok_or_else(|| Refusal::NoFrontend(host.unwrap_or_default().to_owned()))?;
    let config = frontend.view().config.clone();
    let let_in = by_rules(&frontend, &config, keys, settings, request, operation);
    let (origin, key, shown, pass) = let_in.inspect_err(|_| frontend.traffic().refuse(operation))?;
    let traced = account.filter(|account| account.spans().is_some()).cloned();
    Ok((Admitted { operation, frontend, config, origin, key, shown, traced }, pass))
}

/// Who sent a request, and by which key.
type LetIn = (Origin, Option<Arc<KeyHandle>>, Shown, Option<Box<Pass>>);

/// The rules of one frontend; who sent a request that keeps them.
fn by_rules(
    frontend: &FrontendHandle,
    config: &Frontend,
    keys: &Keys,
    settings: &GatewaySettings,
    request: &HttpRequest,
    operation: Operation,
) -> Result<LetIn, Refusal> {
    if config.block_http10 && request.version() < Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    let (key, shown) = keyed::shown(keys, request);
    if key.is_none() && config.require_key {
        return Err(keyed::missing(request));
    }
    let (permitted, kind) = match operation.kind() {
        Kind::Embeddings => (config.allow_embeddings, "embeddings"),
        Kind::Completions => (config.allow_completions, "completions"),
        Kind::Other => (true, "other"),
    };
    if !permitted {
        return Err(Refusal::NotPermitted { frontend: config.identifier.clone(), kind });
    }
    let origin = Origin::of(request, &settings.trusted_proxies);
    if config.rate_limit_per_client > 0 {
        let taken = frontend.clients().try_take(origin.address, config.rate_limit_per_client, Instant::now());
        taken.map_err(|retry_after| Refusal::ClientTooFast { retry_after })?;
    }
    // Last, so that nothing is taken of the key's limits for what is refused anyway.
    let pass = key.as_ref().map(|key| key.enter(&config.identifier, operation)).transpose()?.map(Box::new);
    Ok((origin, key, shown, pass))
}

/// The host that the client names: of an absolute request target, else of the `Host` header (RFC 9112 3.2.2).
fn host(request: &HttpRequest) -> Option<&str> {
    request.uri().host().or_else(|| request.headers().get(header::HOST).and_then(|value| value.to_str().ok()))
}
