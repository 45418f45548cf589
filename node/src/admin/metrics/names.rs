//! The names of all metrics, what they tell, and in which unit. `ollamaflow_` comes before them, the unit and, for
//! counters, `_total` behind. The table in `scripts/observability/README.md` has them with their labels.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// A family of samples.
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) kind: MetricType,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: None, kind: MetricType::Counter }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: None, kind: MetricType::Gauge }
}

const fn info(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: None, kind: MetricType::Info }
}

const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: Some(Unit::Seconds), kind: MetricType::Histogram }
}

const fn of(unit: Unit, kind: MetricType, name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: Some(unit), kind }
}

// === requests ===

pub(super) static REQUESTS: Metric =
    counter("requests", "Client requests that have ended, by how, and where they went last");
pub(super) static REQUESTS_IN_FLIGHT: Metric =
    gauge("requests_in_flight", "Client requests that were let in and have not ended");
pub(super) static REQUEST_DURATION: Metric =
    histogram("request_duration", "Time from the head of a request that was let in to its end");
pub(super) static TIME_TO_FIRST_TOKEN: Metric =
    histogram("time_to_first_token", "Time from the head of a request to the first content of its stream");
pub(super) static INTER_TOKEN_GAP: Metric =
    histogram("inter_token_gap", "Pauses between two pieces of a stream of generated text");
pub(super) static QUEUE_WAIT: Metric = histogram(
    "queue_wait",
    "Time for which a request waited for a backend, for each time that it looked for one",
);
pub(super) static QUEUE_LENGTH: Metric = gauge("queue_length", "Requests that wait for a free backend");
pub(super) static QUEUE_LIMIT: Metric = gauge("queue_limit", "Requests that may wait for a free backend");
pub(super) static DENIED: Metric =
    counter("denied", "Times that a request looked for a backend and got none");
pub(super) static RETRIES: Metric =
    counter("retries", "Requests that were sent to another backend because one had failed");
pub(super) static HEDGES: Metric =
    counter("hedges", "Requests that were sent to a second backend because the first one took long");
pub(super) static STREAMS_RESUMED: Metric =
    counter("streams_resumed", "Streams whose backend died and that went on at another one");
pub(super) static TOKENS: Metric =
    counter("tokens", "Tokens of requests that have ended, as far as their backends have told");

// === backends ===

pub(super) static BACKEND_IN_FLIGHT: Metric =
    gauge("backend_in_flight", "Requests in flight at a backend: permits that are taken");
pub(super) static BACKEND_PERMITS: Metric =
    gauge("backend_permits", "Requests that may be in flight at a backend: all permits");
pub(super) static BACKEND_ATTEMPTS: Metric =
    counter("backend_attempts", "Requests that were sent to a backend and have ended there, by how");
pub(super) static BACKEND_HEALTHY: Metric =
    gauge("backend_healthy", "1 if health probes say that it is well");
pub(super) static BACKEND_STATE: Metric = gauge("backend_state", "1 for the configured state of a backend");
pub(super) static BREAKER_STATE: Metric = gauge("backend_breaker_state", "1 for the state of its circuit");
pub(super) static BREAKER_OPENED: Metric =
    counter("backend_breaker_opened", "How often requests have failed so often that its circuit opened");
pub(super) static BACKEND_COOLING_DOWN: Metric =
    gauge("backend_cooling_down", "1 while a backend is left alone that has said that it is busy");
pub(super) static TRANSLATIONS: Metric =
    counter("translations", "Requests that a backend got in another API than the client's");
pub(super) static HEALTH_PROBES: Metric = counter("health_probes", "Health probes, by their outcome");
pub(super) static HEALTH_PROBE_DURATION: Metric =
    histogram("health_probe_duration", "Time that health probes took");

// === models ===

pub(super) static BACKEND_MODELS: Metric =
    gauge("backend_models", "Models of a backend, by where it has them");
pub(super) static MODEL_BACKENDS: Metric = gauge("model_backends", "Backends that have a model, by where");
pub(super) static MODEL_WORKS: Metric =
    gauge("model_works", "Work on models at backends: running, waiting for another try, or failed for good");
pub(super) static MODELS_MISSING: Metric =
    gauge("models_missing", "Models that are not where a frontend wants them");

// === the cluster ===

pub(super) static RAFT_TERM: Metric = gauge("raft_term", "Present term of the consensus");
pub(super) static RAFT_IS_LEADER: Metric = gauge("raft_is_leader", "1 if this node leads");
pub(super) static RAFT_LEADER_ID: Metric =
    gauge("raft_leader_id", "Id of the node that leads, as far as this node knows; 0 for none");
pub(super) static RAFT_HAS_QUORUM: Metric = gauge("raft_has_quorum", "1 if a write would find a quorum");
pub(super) static RAFT_LAST_LOG_INDEX: Metric = gauge("raft_last_log_index", "Last index of this node's log");
pub(super) static RAFT_COMMIT_INDEX: Metric =
    gauge("raft_commit_index", "Last index that this node knows to be agreed on");
pub(super) static RAFT_APPLIED_INDEX: Metric =
    gauge("raft_applied_index", "Last index that this node has applied");
pub(super) static RAFT_SNAPSHOT_INDEX: Metric =
    gauge("raft_snapshot_index", "Last index in this node's newest snapshot");
pub(super) static RAFT_MEMBERS: Metric = gauge("raft_members", "Members of the cluster");
pub(super) static RAFT_VOTERS: Metric = gauge("raft_voters", "Members that vote");
pub(super) static RAFT_FOLLOWER_LAG: Metric =
    gauge("raft_follower_lag", "On the leader: entries that a member has not confirmed yet");
pub(super) static RAFT_QUORUM_ACK_AGE: Metric = of(
    Unit::Seconds,
    MetricType::Gauge,
    "raft_quorum_ack_age",
    "On the leader: time since a quorum last confirmed that it leads",
);
pub(super) static RAFT_ELECTIONS: Metric =
    counter("raft_elections_started", "Elections that this node has started");
pub(super) static RAFT_LEADER_CHANGES: Metric = counter(
    "raft_leader_changes",
    "How often this node got another leader than before, the first one included",
);
pub(super) static CLUSTER_REVISION: Metric = gauge("cluster_revision", "Revision of the replicated state");
pub(super) static CATALOG_REVISION: Metric =
    gauge("catalog_revision", "Revision at which the catalog last changed");
pub(super) static CATALOG: Metric =
    info("catalog", "SHA-256 of the replicated state: the same on all nodes at the same revision");
pub(super) static PEER_REJECTED: Metric =
    counter("peer_rejected", "Messages of other nodes that were rejected");

// === virtual keys ===

pub(super) static KEY_REQUESTS: Metric =
    counter("key_requests", "Client requests with a virtual key, by how they ended");
pub(super) static KEY_TOKENS: Metric =
    counter("key_tokens", "Tokens of requests with a virtual key, as far as their backends have told");

// === the node ===

pub(super) static ACTOR_RESTARTS: Metric = counter("actor_restarts", "Actors that died and were replaced");
pub(super) static ACTOR_MAILBOX: Metric =
    gauge("actor_mailbox_messages", "Messages that an actor has not taken yet");
pub(super) static LOG_LINES_LOST: Metric = counter(
    "log_lines_lost",
    "Log lines that did not get to their sink: it was too slow for them, or could not be written",
);
pub(super) static SPANS_EXPORTED: Metric =
    counter("spans_exported", "Spans of requests that the collector has taken");
pub(super) static SPANS_LOST: Metric = counter(
    "spans_lost",
    "Spans that did not get to the collector: it was too slow for them, or did not take them",
);
pub(super) static BUILD: Metric =
    info("build", "The program, the compiler, and the revision of its source if known");

// === the process; without `ollamaflow_`, as all programs have them ===

pub(super) static PROCESS_CPU: Metric = of(
    Unit::Seconds,
    MetricType::Counter,
    "process_cpu",
    "Processor time of the process, in user and in system mode",
);
pub(super) static PROCESS_RESIDENT: Metric =
    of(Unit::Bytes, MetricType::Gauge, "process_resident_memory", "Memory of the process that is in RAM");
pub(super) static PROCESS_VIRTUAL: Metric =
    of(Unit::Bytes, MetricType::Gauge, "process_virtual_memory", "Address space of the process");
pub(super) static PROCESS_START: Metric = of(
    Unit::Seconds,
    MetricType::Gauge,
    "process_start_time",
    "When the process started, in seconds since 1970",
);
pub(super) static PROCESS_OPEN_FDS: Metric = gauge("process_open_fds", "File descriptors that are open");
pub(super) static PROCESS_MAX_FDS: Metric = gauge("process_max_fds", "File descriptors that may be open");
pub(super) static PROCESS_THREADS: Metric = gauge("process_threads", "Threads of the process");
