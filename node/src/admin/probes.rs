//! `/livez`, `/readyz` and `/metrics`, for whoever restarts nodes, sends clients to them or watches them, and the
//! description of the API with its explorer. No token is needed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix_web::dev::HttpServiceFactory;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::failure::Failure;
use super::frame::frame;
use super::route::{Routed, path};
use super::{AdminState, answer, explorer, metrics, openapi};
use crate::actors::Directory;
use crate::cluster::Cluster;
use crate::description::client::AnyJson;
use crate::description::{Api, Audience, Entry, Method};

/// How long a node that is fit and was asked waits for the first probes of its backends: longer than one probe may
/// take. Backends that cannot be found out about in this time are no reason to keep clients away.
const FIRST_PROBES: Duration = Duration::from_secs(5);

/// Whether clients should be sent to this node.
#[derive(Debug, Default)]
pub struct Readiness {
    /// When the node was first found fit for its part in the cluster: before, it may know no backends to probe.
    fit_since: OnceLock<Instant>,
    /// Set for good once the backends were probed, or that took too long.
    is_warm: AtomicBool,
    is_stopping: AtomicBool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Live {
    live: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Ready {
    ready: bool,
    /// What stands in the way, a sentence each.
    reasons: Vec<String>,
}

/// The paths. They are for every host name and come before all frontends.
pub fn probes(state: web::Data<AdminState>) -> impl HttpServiceFactory {
    // One scope, for each request of a client is compared with all of these paths first.
    let explorer = web::scope("/explorer").app_data(state.clone()).wrap(from_fn(frame));
    let framed = move |routed: Routed| routed.resource.app_data(state.clone()).wrap(from_fn(frame));
    let [livez, readyz, metrics, openapi] = routes().map(framed);
    (livez, readyz, metrics, openapi, explorer.configure(explorer::register))
}

/// The paths that are described, by which they are also compared with their description.
pub(super) fn routes() -> [Routed; 4] {
    [
        path("/livez", "GET, HEAD").route(web::get().to(live)).route(web::head().to(live)),
        path("/readyz", "GET, HEAD").route(web::get().to(ready)).route(web::head().to(ready)),
        path("/metrics", "GET, HEAD")
            .route(web::get().to(metrics::metrics))
            .route(web::head().to(metrics::metrics)),
        path("/openapi.json", "GET, HEAD")
            .route(web::get().to(openapi::serve))
            .route(web::head().to(openapi::serve)),
    ]
}

/// Describes the operations here. The explorer is for people and has no place in it.
pub(super) fn describe(api: &mut Api) {
    let entry = |path, id, summary| Entry::new(Audience::Admin, Method::Get, path, id, summary).tag("Node");
    api.add(entry("/livez", "live", "Whether the node lives").answers::<Live>(200, "It does."));
    api.add(
        entry("/readyz", "ready", "Whether clients should be sent to this node")
            .answers::<Ready>(200, "They should.")
            .answers::<Ready>(503, "They should not; `Reasons` says why."),
    );
    api.add(entry("/metrics", "metrics", "Metrics of this node").answers_text(
        200,
        "In the text format of OpenMetrics",
        "application/openmetrics-text",
    ));
    api.add(
        entry("/openapi.json", "openapi", "This description")
            .answers::<AnyJson>(200, "The document")
            .answers_nothing(304, "It is as the client has it."),
    );
}

async fn live() -> Result<HttpResponse, Failure> {
    answer::ok(&Live { live: true })
}

async fn ready(state: web::Data<AdminState>) -> Result<HttpResponse, Failure> {
    let reasons = state.readiness.missing(&state.cluster, &state.directory);
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &Ready { ready: reasons.is_empty(), reasons })
}

// === impl Readiness ===

impl Readiness {
    /// Of a node that starts now.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on the node is not ready.
    pub fn begin_stopping(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Why clients should go elsewhere; empty if they may come.
    fn missing(&self, cluster: &Cluster, directory: &Directory) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.is_stopping.load(Ordering::Relaxed) {
            reasons.push("the node is stopping".to_owned());
        }
        if let Some(unfit) = cluster.unfit() {
            reasons.push(unfit);
        } else if !self.is_warm.load(Ordering::Relaxed) {
            let fit_since = self.fit_since.get_or_init(Instant::now);
            if directory.is_probed(cluster.state().catalog()) || fit_since.elapsed() >= FIRST_PROBES {
                self.is_warm.store(true, Ordering::Relaxed);
            } else {
                reasons.push(
                    "the node has just started and is still finding out which backends are healthy"
                        .to_owned(),
                );
            }
        }
        reasons
    }
}
