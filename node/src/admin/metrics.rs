//! `/metrics`: what the node tells Prometheus about the cluster and its traffic, in its text format.

mod logs;
mod models;
mod traces;
mod traffic;

use std::fmt;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use self::logs::LogMetrics;
use self::models::ModelMetrics;
use self::traces::TraceMetrics;
use self::traffic::TrafficMetrics;
use super::AdminState;
use super::failure::Failure;
use crate::clock::now;
use crate::cluster::{Reason, Rejections, Role, Status};
use crate::models::Outlook;

/// The type of the text format that the encoder writes.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What was true of the cluster at one moment.
#[derive(Debug)]
struct ClusterMetrics {
    status: Status,
    rejections: Option<Rejections>,
}

pub(super) async fn metrics(state: web::Data<AdminState>) -> Result<HttpResponse, Failure> {
    let mut registry = Registry::with_prefix("ollamaflow");
    registry.register_collector(Box::new(ClusterMetrics {
        status: state.cluster.status(),
        rejections: state.cluster.rejections().cloned(),
    }));
    registry.register_collector(Box::new(TrafficMetrics {
        tally: state.tally.clone(),
        directory: state.directory.clone(),
    }));
    registry.register_collector(Box::new(LogMetrics { losses: state.logs.losses() }));
    if let Some(traces) = &state.traces {
        registry
            .register_collector(Box::new(TraceMetrics { exported: traces.exported(), lost: traces.lost() }));
    }
    let applied = state.cluster.state();
    let missing = Outlook::new(&applied, &state.directory, now()).missing();
    registry.register_collector(Box::new(ModelMetrics { state: applied, missing }));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Failure::Unwritable)?;
    Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, CONTENT_TYPE)).body(text))
}

// === ClusterMetrics ===

impl Collector for ClusterMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.status;
        let voters = status.members.iter().filter(|member| member.is_voter).count();
        let gauges = [
            ("raft_term", "Present term of the consensus", status.term),
            ("raft_is_leader", "1 if this node leads", u64::from(status.role == Role::Leader)),
            ("raft_has_quorum", "1 if a write would find a quorum", u64::from(status.has_quorum)),
            ("raft_last_log_index", "Last index of this node's log", status.last_log_index),
            ("raft_applied_index", "Last index that this node has applied", status.applied_index),
            ("raft_snapshot_index", "Last index in this node's newest snapshot", status.snapshot_index),
            ("raft_members", "Members of the cluster", status.members.len() as u64),
            ("raft_voters", "Members that vote", voters as u64),
            ("cluster_revision", "Revision of the replicated state", status.revision),
            ("catalog_revision", "Revision at which the catalog last changed", status.catalog_revision),
        ];
        for (name, help, value) in gauges {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(encoder)?;
        }
        let hash = Info::new([("hash", status.catalog_hash.as_str())]);
        let help = "SHA-256 of the replicated state: the same on all nodes at the same revision";
        hash.encode(encoder.encode_descriptor("catalog", help, None, MetricType::Info)?)?;
        if let Some(rejections) = &self.rejections {
            let help = "Messages of other nodes that were rejected";
            let mut family = encoder.encode_descriptor("peer_rejected", help, None, MetricType::Counter)?;
            for reason in Reason::ALL {
                let labels = [("reason", reason.label())];
                ConstCounter::new(rejections.count(reason)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
