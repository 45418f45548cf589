//! What a node tells at `/metrics`, and what the operating system knows of its process.
#![expect(clippy::panic, reason = "a harness reports failure to its test by panicking")]

use super::Node;
use crate::client::Request;

/// The samples of one look at `/metrics`.
#[derive(Debug, Clone)]
pub struct Metrics(String);

impl Metrics {
    /// The sum over all label sets that contain these labels; nothing when there is no such sample.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let samples = self.0.lines().filter_map(|line| {
            let (named, value) = line.rsplit_once(' ')?;
            let (base, set) = named.split_once('{').unwrap_or((named, ""));
            let labelled = labels.iter().all(|(label, text)| set.contains(&format!("{label}=\"{text}\"")));
            (base == name && labelled).then(|| value.parse::<f64>().ok()).flatten()
        });
        samples.fold(None, |sum, value| Some(sum.unwrap_or_default() + value))
    }

    /// All of it, as it was told.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The same as a whole number, which all counters and gauges of the node are.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below 2^53")]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
        self.sum(name, labels).map(|sum| sum.round() as u64)
    }
}

impl Node {
    /// What it tells at `/metrics`.
    pub async fn metrics(&self) -> Metrics {
        let answer = Request::get("/metrics").send(self.addr()).await.collect().await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        Metrics(answer.text())
    }

    /// Files and sockets that it has open; Linux only.
    pub fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.pid());
        let entries = std::fs::read_dir(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        entries.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_added_up_over_the_labels_that_are_not_asked_for() {
        let text = concat!(
            "# TYPE ollamaflow_requests counter\n",
            "ollamaflow_requests_total{frontend=\"a\",outcome=\"error\"} 2\n",
            "ollamaflow_requests_total{frontend=\"b\",outcome=\"error\"} 3\n",
            "ollamaflow_requests_total{frontend=\"b\",outcome=\"complete\"} 10\n",
            "ollamaflow_queue_length 4\n",
            "# EOF\n",
        );
        let metrics = Metrics(text.to_owned());
        assert_eq!(metrics.count("ollamaflow_requests_total", &[("outcome", "error")]), Some(5));
        assert_eq!(metrics.count("ollamaflow_requests_total", &[]), Some(15));
        assert_eq!(metrics.count("ollamaflow_queue_length", &[]), Some(4));
        assert_eq!(metrics.count("ollamaflow_nothing", &[]), None);
    }
}
