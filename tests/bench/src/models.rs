//! Measures the merged list of models: `/api/tags` of a real node over HTTP, before many backends with many models each.
//!
//! Backends have the same models or each its own; nothing changes, or each second a backend gets or loses a model by a
//! request to the node; the client asks for the whole list, or whether it is another one than it has. One client, which
//! asks again as soon as it is answered. [`report`] tells.

mod report;

use std::cell::Cell;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ollamaflow_tests::client::{self, Request};
use ollamaflow_tests::node::Node;
use ollamaflow_tests::objects::{backend, frontend};
use ollamaflow_tests::simulated::{ModelSpec, SimConfig, SimulatedBackend};
use serde_json::json;

use self::report::{Report, Row};
use crate::cli::ModelsArgs;
use crate::clock::monotonic_ns;
use crate::latency::Latency;
use crate::load::client::{Client, ClientError};
use crate::measure::machine::{Machine, load_average};
use crate::suite::progress;

/// Where `--save` puts the published result.
const PUBLISHED: &str = "docs/benchmarks";
/// How long the node may take to know all models, or a change to show.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
/// Time from one change of a backend's models to the next.
const CHANGE_INTERVAL: Duration = Duration::from_secs(1);
/// The model that comes and goes.
const CHANGING: &str = "comes-and-goes:latest";
/// How a client names what it has of the list.
const ETAG: &str = "etag";

/// How much is measured.
#[derive(Debug, Clone, Copy, serde::Serialize)]
struct Amounts {
    backends: usize,
    /// Of each backend.
    models: usize,
    /// Seconds that count, for each row.
    window_s: u64,
}

const FULL: Amounts = Amounts { backends: 50, models: 100, window_s: 30 };
const QUICK: Amounts = Amounts { backends: 5, models: 10, window_s: 3 };

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ModelsError {
    /// The result cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The node does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The list never had all models.
    #[error("the list has {found} of {expected} models, without {missing:?}")]
    Incomplete {
        /// Models in it.
        found: usize,
        /// Models that backends have.
        expected: usize,
        /// What the node says of backends it knows too little of.
        missing: String,
    },
    /// An answer is not the one that is measured.
    #[error("{path} answered {status} instead of {expected}")]
    Unexpected {
        /// What was asked.
        path: &'static str,
        /// What came.
        status: u16,
        /// What should have come.
        expected: u16,
    },
    /// Nothing changed, where all should be measured with changes.
    #[error("a change of a backend's models did not show within {} s", PATIENCE.as_secs())]
    Unchanged,
}

/// Measures and reports.
///
/// # Errors
/// The list is not complete, does not change or is not answered. A missed target is a line in the report.
pub(crate) async fn run(args: ModelsArgs) -> Result<(), ModelsError> {
    let amounts = if args.quick { QUICK } else { FULL };
    let (machine, load_before) = (Machine::describe(), load_average());
    let mut rows = Vec::new();
    for own in [false, true] {
        let site = Site::start(amounts, own).await?;
        for (changes, conditional) in [(false, false), (false, true), (true, false)] {
            let row = site.measure(amounts, changes, conditional).await?;
            progress(&format!("{}: p99 {:.2} ms", row.what, row.p99_ms));
            rows.push(row);
        }
    }
    let report = Report { machine, load_before, load_after: load_average(), amounts, rows };
    Ok(publish(args, &report)?)
}

/// The backends, and the node before them.
struct Site {
    /// Before the backends, so that it ends before them.
    node: Node,
    _backends: Vec<SimulatedBackend>,
    names: Vec<String>,
    /// Whether no two backends have a model in common.
    own: bool,
    /// What the backends have.
    what: &'static str,
}

impl Site {
    /// Starts all and waits until the node knows all models. Backends have their `own` models or all the same.
    async fn start(amounts: Amounts, own: bool) -> Result<Self, ModelsError> {
        let what = if own { "models of its own on each backend" } else { "the same models on all backends" };
        progress(&format!("{} backends, {} models on each, {what}", amounts.backends, amounts.models));
        let models =
            |place| (0..amounts.models).map(move |number| ModelSpec::named(model(own, place, number)));
        let engines: Vec<_> = (0..amounts.backends)
            .map(|place| SimConfig { models: models(place).collect(), ..SimConfig::default() })
            .map(SimulatedBackend::start)
            .collect();
        let names: Vec<String> = (0..amounts.backends).map(|place| format!("b{place:02}")).collect();
        let only = frontend("f").backends(names.iter().map(String::as_str)).set("AllowModelManagement", true);
        let builder = Node::builder().settings(&json!({ "HealthCheck": null })).frontend(only);
        let builder = names.iter().zip(&engines).fold(builder, |builder, (name, engine)| {
            builder.backend(backend(name, engine).set("RateLimitRequestsThreshold", 0))
        });
        let node = builder.start().await;
        node.wait_healthy(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let site = Self { node, _backends: engines, names, own, what };
        site.wait_complete(amounts.models * if own { amounts.backends } else { 1 }).await?;
        Ok(site)
    }

    /// Waits until the list has so many models, and no backend is missing.
    async fn wait_complete(&self, expected: usize) -> Result<(), ModelsError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = client::get(self.node.addr(), "/api/tags").await.collect().await;
            let missing = answer.header("x-ollamaflow-missing").unwrap_or_default().to_owned();
            let found = answer.json()["models"].as_array().map_or(0, Vec::len);
            if found == expected && missing.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(ModelsError::Incomplete { found, expected, missing });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// One row.
    async fn measure(&self, amounts: Amounts, changes: bool, conditional: bool) -> Result<Row, ModelsError> {
        let etag = etag(self.node.addr()).await;
        let condition = if conditional { format!("if-none-match: {etag}\r\n") } else { String::new() };
        let request = format!("GET /api/tags HTTP/1.1\r\nhost: localhost\r\n{condition}\r\n").into_bytes();
        let expected = if conditional { 304 } else { 200 };
        let ends = Rc::new(Cell::new(false));
        let unrest = changes.then(|| {
            let (addr, names, own) = (self.node.addr(), self.names.clone(), self.own);
            let ends = Rc::clone(&ends);
            tokio::task::spawn_local(async move { change(addr, &names, own, &ends).await })
        });
        let mut connection = Client::connect(self.node.addr()).await?;
        let bytes = connection.fetch(&request).await?.body.len();
        let (mut latency, mut count) = (Latency::new(), 0_u64);
        let end = Instant::now() + Duration::from_secs(amounts.window_s);
        while Instant::now() < end {
            let asked = monotonic_ns();
            let (status, _) = connection.exchange(&request).await?;
            latency.record(monotonic_ns().saturating_sub(asked));
            count += 1;
            if status != expected {
                return Err(ModelsError::Unexpected { path: "/api/tags", status, expected });
            }
        }
        ends.set(true);
        let times_changed = match unrest {
            Some(unrest) => unrest.await.map_err(io::Error::other)??,
            None => 0,
        };
        if changes && times_changed == 0 {
            return Err(ModelsError::Unchanged);
        }
        let asked = if conditional { "not changed (304)" } else { "whole" };
        let state = if changes { "changing each second" } else { "unchanged" };
        let ms = |percent| latency.percentile_us(percent) / 1e3;
        Ok(Row {
            what: format!("{}, {state}, {asked}", self.what),
            requests: count,
            bytes,
            changes: times_changed,
            p50_ms: ms(50.0),
            p99_ms: ms(99.0),
            p999_ms: ms(99.9),
            max_ms: ms(100.0),
        })
    }
}

/// A model's name, as long as names are: of a backend, or of all.
fn model(own: bool, place: usize, number: usize) -> String {
    let place = if own { place } else { 0 };
    format!("family-{place:02}/model-{number:03}:8b-instruct-q4_K_M")
}

/// Gives a backend one model more and takes it away again, then the next one, until it is to end. Gives the number of
/// changes, each of which showed in the list.
async fn change(
    addr: SocketAddr,
    names: &[String],
    own: bool,
    ends: &Cell<bool>,
) -> Result<u64, ModelsError> {
    let (mut before, mut changes) = (etag(addr).await, 0);
    for place in (0..names.len()).cycle() {
        let copy = json!({ "source": model(own, place, 0), "destination": CHANGING });
        for (path, request) in [
            ("/api/copy", Request::post("/api/copy").json(&copy)),
            ("/api/delete", Request::new("DELETE", "/api/delete").json(&json!({ "model": CHANGING }))),
        ] {
            let due = tokio::time::Instant::now() + CHANGE_INTERVAL;
            let request = request.header("X-OllamaFlow-Backend-Filter", &names[place]);
            let status = request.send(addr).await.collect().await.status();
            if status != 200 {
                return Err(ModelsError::Unexpected { path, status, expected: 200 });
            }
            before = another_etag(addr, &before).await?;
            changes += 1;
            tokio::time::sleep_until(due).await;
        }
        if ends.get() {
            break;
        }
    }
    Ok(changes)
}

/// Waits until the list is another one. What has not changed is not sent, and what has is not read.
async fn another_etag(addr: SocketAddr, before: &str) -> Result<String, ModelsError> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let answer = Request::get("/api/tags").header("If-None-Match", before).send(addr).await;
        if let (200, Some(now)) = (answer.status(), answer.header(ETAG)) {
            return Ok(now.to_owned());
        }
        tokio::time::sleep(POLL).await;
    }
    Err(ModelsError::Unchanged)
}

async fn etag(addr: SocketAddr) -> String {
    client::get(addr, "/api/tags").await.header(ETAG).unwrap_or_default().to_owned()
}

fn publish(args: ModelsArgs, report: &Report) -> io::Result<()> {
    let markdown = report.markdown();
    if args.save {
        std::fs::create_dir_all(PUBLISHED)?;
        std::fs::write(format!("{PUBLISHED}/models.json"), serde_json::to_vec_pretty(report)?)?;
        std::fs::write(format!("{PUBLISHED}/models.md"), &markdown)?;
        progress(&format!("wrote {PUBLISHED}/models.md and {PUBLISHED}/models.json"));
    }
    io::stdout().write_all(markdown.as_bytes())
}
