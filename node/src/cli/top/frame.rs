//! One frame: what happened between two samples, in lines and in JSON.

use serde_json::{Value, json};

use super::Sample;
use crate::cli::objects::render_health;
use crate::cli::remote::printable;
use crate::cli::screen::{Screen, Tone};
use crate::cli::table::{Cell, Table};
use crate::cli::wire::Backend;

/// Cells of a bar that shows how full a backend is.
const BAR: usize = 10;

/// What a frame is made of.
pub(super) struct Frame<'a> {
    url: &'a str,
    before: &'a Sample,
    now: &'a Sample,
}

// === Frame ===

impl<'a> Frame<'a> {
    pub(super) fn new(url: &'a str, before: &'a Sample, now: &'a Sample) -> Self {
        Self { url, before, now }
    }

    fn seconds(&self) -> f64 {
        self.now.at.duration_since(self.before.at).as_secs_f64()
    }

    /// By label: how many there are in all, and how many came each second.
    fn rates(&self, name: &str, label: &str) -> Vec<(String, f64, f64)> {
        let before = self.before.metrics.by(name, label);
        let of = |key: &str| before.iter().find(|(known, _)| *known == key).map_or(0.0, |(_, value)| *value);
        let now = self.now.metrics.by(name, label).into_iter();
        now.map(|(key, total)| (printable(key), total, rate(total - of(key), self.seconds()))).collect()
    }

    fn queues(&self) -> Vec<(&str, f64)> {
        self.now.metrics.by("ollamaflow_queue_length", "frontend")
    }

    pub(super) fn json(&self) -> Value {
        let rates = |name: &str, label: &str| -> Value {
            let rates = self.rates(name, label).into_iter();
            rates
                .map(|(key, total, rate)| (key, json!({ "Total": total, "PerSecond": round(rate) })))
                .collect()
        };
        let queues: Value =
            self.queues().into_iter().map(|(key, length)| (key.to_owned(), json!(length))).collect();
        let backends = self.sorted().into_iter().map(|backend| {
            json!({
                "Identifier": backend.identifier,
                "State": backend.state,
                "Healthy": backend.is_healthy(),
                "ActiveRequests": backend.active_requests,
                "MaxParallelRequests": backend.max_parallel_requests,
            })
        });
        json!({
            "Server": self.url,
            "NodeId": self.now.cluster.node_id,
            "Leader": self.now.cluster.leader,
            "HasQuorum": self.now.cluster.has_quorum,
            "Revision": self.now.cluster.revision,
            "Requests": rates("ollamaflow_requests_total", "outcome"),
            "Tokens": rates("ollamaflow_tokens_total", "kind"),
            "Queues": queues,
            "Backends": backends.collect::<Vec<_>>(),
        })
    }

    pub(super) fn text(&self, screen: Screen) -> String {
        let cluster = &self.now.cluster;
        let id = cluster.node_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let leader = cluster.leader.map_or_else(|| "none".to_owned(), |id| id.to_string());
        let quorum = if cluster.has_quorum { "quorum" } else { "no quorum" };
        let listed = |rates: Vec<(String, f64, f64)>| {
            let shown = rates.into_iter().map(|(key, _, rate)| format!("{key} {rate:.1}/s"));
            let shown = shown.collect::<Vec<_>>().join("  ");
            if shown.is_empty() { "none".to_owned() } else { shown }
        };
        let waiting: Vec<String> = self
            .queues()
            .into_iter()
            .filter(|(_, length)| *length > 0.0)
            .map(|(key, length)| format!("{} {length}", printable(key)))
            .collect();
        let waiting = if waiting.is_empty() { "empty".to_owned() } else { waiting.join("  ") };
        let active: u64 = self.now.backends.iter().map(|backend| backend.active_requests).sum();
        let lines = [
            format!(
                "node {id} at {}  leader {leader} of {}  {quorum}  revision {}",
                self.url,
                cluster.members.len().max(1),
                cluster.revision
            ),
            format!(
                "requests  {}  in flight {active}",
                listed(self.rates("ollamaflow_requests_total", "outcome"))
            ),
            format!("tokens    {}", listed(self.rates("ollamaflow_tokens_total", "kind"))),
            format!("queues    {waiting}"),
        ];
        let head = lines.iter().map(|line| cut(line, screen.width)).collect::<Vec<_>>().join("\n");
        format!("{head}\n\n{}", self.table(screen))
    }

    fn sorted(&self) -> Vec<&Backend> {
        let mut backends: Vec<&Backend> = self.now.backends.iter().collect();
        backends.sort_by(|one, other| one.identifier.cmp(&other.identifier));
        backends
    }

    fn table(&self, screen: Screen) -> String {
        let mut table = Table::new(&["BACKEND", "STATE", "HEALTH", "BUSY", "", "ADDRESS"])
            .may_lack(&["ADDRESS", "", "STATE"]);
        for backend in self.sorted() {
            let (health, tone) = render_health(backend);
            let (bar, load) = bar(backend.active_requests, backend.max_parallel_requests);
            table.row(vec![
                Cell::text(&backend.identifier),
                Cell::text(&backend.state),
                Cell::text(&health).tone(tone),
                Cell::number(&format!("{}/{}", backend.active_requests, backend.max_parallel_requests)),
                Cell::text(&bar).tone(load),
                Cell::text(&backend.address()),
            ]);
        }
        if table.is_empty() { "there are no backends".to_owned() } else { table.draw(screen) }
    }
}

/// How full a backend is.
fn bar(busy: u64, most: u32) -> (String, Tone) {
    let most = u64::from(most.max(1));
    let full = usize::try_from(busy.min(most) * BAR as u64 / most).unwrap_or(BAR);
    let tone = if full >= BAR { Tone::Doubtful } else { Tone::Good };
    (format!("{}{}", "█".repeat(full), "·".repeat(BAR - full)), tone)
}

/// Counters begin anew when a node does.
fn rate(difference: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { difference.max(0.0) / seconds } else { 0.0 }
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// A line without colours, no longer than the screen is wide.
pub(super) fn cut(line: &str, width: Option<u16>) -> String {
    match width.map(usize::from) {
        Some(width) if line.chars().count() > width => {
            line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::metrics::Metrics;
    use super::*;
    use crate::cluster::{Role, Status};

    fn sample(at: Instant, ok: u32) -> Sample {
        let cluster = Status {
            cluster_id: None,
            node_id: Some(1),
            address: None,
            role: Role::Leader,
            problem: None,
            leader: Some(1),
            term: 1,
            revision: 5,
            catalog_revision: 5,
            catalog_hash: String::new(),
            last_log_index: 5,
            applied_index: 5,
            snapshot_index: 0,
            has_quorum: true,
            quorum_ack_millis: None,
            version: "1".to_owned(),
            members: Vec::new(),
        };
        let backend = json!({
            "Identifier": "b1", "Hostname": "gpu", "Port": 1, "State": "Active", "HealthySinceUtc": "x",
            "Uptime": "00:01:00", "ActiveRequests": 2, "MaxParallelRequests": 4
        });
        let metrics = Metrics::parse(&format!(
            "ollamaflow_requests_total{{outcome=\"ok\"}} {ok}\nollamaflow_queue_length{{frontend=\"f\"}} 3\n"
        ));
        Sample { at, cluster, backends: vec![serde_json::from_value(backend).unwrap()], metrics }
    }

    #[test]
    fn rates_are_between_two_samples() {
        let begin = Instant::now();
        let (before, now) = (sample(begin, 10), sample(begin + Duration::from_secs(2), 30));
        let frame = Frame::new("http://a:1", &before, &now);
        assert_eq!(
            frame.text(Screen::none()),
            "node 1 at http://a:1  leader 1 of 1  quorum  revision 5\n\
             requests  ok 10.0/s  in flight 2\n\
             tokens    none\n\
             queues    f 3\n\n\
             BACKEND  STATE   HEALTH       BUSY              ADDRESS\n\
             b1       Active  up 00:01:00   2/4  █████·····  gpu:1"
        );
        let json = frame.json();
        assert_eq!(json["Requests"]["ok"], json!({ "Total": 30.0, "PerSecond": 10.0 }));
        assert_eq!(json["Queues"]["f"], 3.0);
        let restarted = Frame::new("u", &now, &before).json();
        assert_eq!(restarted["Requests"]["ok"]["PerSecond"], 0.0);
    }

    #[test]
    fn a_long_line_is_cut() {
        assert_eq!((cut("abcdef", Some(4)).as_str(), cut("abcd", Some(4)).as_str()), ("abc…", "abcd"));
        assert_eq!(cut("abcdef", None), "abcdef");
    }
}
