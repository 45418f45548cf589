//! `/metrics`: what the node tells Prometheus about itself, its traffic and the cluster, in the text format of
//! `OpenMetrics`.

mod actors;
mod backends;
mod cluster;
mod family;
mod keys;
mod logs;
mod models;
mod names;
mod process;
mod traces;
mod traffic;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use self::actors::ActorMetrics;
use self::backends::BackendMetrics;
use self::cluster::ClusterMetrics;
use self::keys::KeyMetrics;
use self::logs::LogMetrics;
use self::models::ModelMetrics;
use self::process::{BuildMetrics, ProcessMetrics};
use self::traces::TraceMetrics;
use self::traffic::TrafficMetrics;
use super::AdminState;
use super::failure::Failure;
use crate::clock::now;
use crate::models::Outlook;

/// The type of the text format that the encoder writes.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn metrics(state: web::Data<AdminState>) -> Result<HttpResponse, Failure> {
    let mut all = Registry::default();
    all.register_collector(Box::new(ProcessMetrics));
    let registry = all.sub_registry_with_prefix("ollamaflow");
    registry.register_collector(Box::new(BuildMetrics));
    registry.register_collector(Box::new(ClusterMetrics {
        status: state.cluster.status(),
        marks: state.cluster.marks().cloned(),
        rejections: state.cluster.rejections().cloned(),
    }));
    registry.register_collector(Box::new(TrafficMetrics {
        tally: state.tally.clone(),
        directory: state.directory.clone(),
    }));
    registry.register_collector(Box::new(BackendMetrics { directory: state.directory.clone() }));
    registry.register_collector(Box::new(ActorMetrics { directory: state.directory.clone() }));
    registry.register_collector(Box::new(KeyMetrics { keys: state.keys.clone() }));
    registry.register_collector(Box::new(LogMetrics { losses: state.logs.losses() }));
    if let Some(traces) = &state.traces {
        registry
            .register_collector(Box::new(TraceMetrics { exported: traces.exported(), lost: traces.lost() }));
    }
    let applied = state.cluster.state();
    let missing = Outlook::new(&applied, &state.directory, now()).missing();
    let directory = state.directory.clone();
    registry.register_collector(Box::new(ModelMetrics { state: applied, missing, directory }));
    let mut text = String::new();
    encode(&mut text, &all).map_err(|_| Failure::Unwritable)?;
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(text))
}
