//! Pulling, pushing and creating: many streams of progress, told as one.
//!
//! Each call hands its pieces over one at a time, and waits while the client does not take what was made of them: so a slow
//! client slows the backends, and nothing grows here. Dropping the run drops all calls.
//!
//! A pull runs under a claim, which at most one task of the whole cluster has for a model at a backend. Whoever finds it
//! taken waits, and pulls then: what is there already takes no time.

use std::pin::pin;
use std::time::Duration;

use actix_web::http::StatusCode;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ollamaflow_protocol::cluster::WorkEnd;
use ollamaflow_protocol::json::merge_pins;
use ollamaflow_protocol::model::canonical;
use ollamaflow_protocol::models::desired::ActionKind;
use ollamaflow_protocol::models::progress::{Failed, Outcome, Progress};
use ollamaflow_protocol::wire::{Ending, StreamFormat, StreamWatch};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::call::{Call, Said, failed};
use super::everywhere::looked_again;
use super::roll::Roll;
use super::stream::{Piece, Stream};
use super::targets::{Site, Targets};
use super::wishes::Wishes;
use super::{Answered, Content, Managing};
use crate::cluster::Cluster;
use crate::models::{ClaimError, Claims, Holding};
use crate::upstream::RequestBody;

/// How often a claim is tried while the cluster has no leader. Each try waits for one for some seconds.
const CLAIM_TRIES: u32 = 5;

/// Why what was pulled is not required.
const GONE: &str = "it was deleted meanwhile";

/// The pause between two of them.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

/// What is to be pulled.
pub(super) struct Pull {
    pub(super) model: String,
    /// The wishes of the frontend, if it is to require the model once all that have to have it.
    pub(super) wishes: Option<Wishes>,
}

/// What a call reports, with its place among the targets.
type Report = (usize, Event);

enum Event {
    /// The call waits for another one of the same model.
    Waits,
    /// The other one is so far, in percent.
    WaitsSince(u8),
    /// It has the claim, and this is where to tell how far it is.
    Claimed(Holding),
    /// The backend takes it: its stream begins.
    Began,
    Bytes(Bytes),
    Ended,
    Failed(Failed),
}

/// The calls and what they have reported.
struct Run {
    progress: Progress,
    calls: Vec<(Site, Result<Call, Failed>)>,
    /// Under which the calls run, and the model that they are about.
    claims: Option<(Claims, String)>,
    /// Where to tell how far each call is.
    holdings: Vec<Option<Holding>>,
    /// The client wants to see the progress.
    streams: bool,
    /// What is told first.
    notice: Option<String>,
    /// Where the other nodes are told of what was changed.
    cluster: Cluster,
    /// What the frontend is to require afterwards.
    wish: Option<(Wishes, String)>,
}

// === impl Managing ===

impl Managing<'_> {
    /// The client's request at each target, and one answer.
    pub(super) async fn merged(
        self,
        targets: Targets,
        body: &Bytes,
        streams: bool,
        pull: Option<Pull>,
    ) -> Answered {
        // Backends tell their progress in any case: one that is silent until it has done its work cannot be told from one
        // that is stuck.
        let body = if streams { Ok(body.clone()) } else { streaming(body) };
        let calls: Vec<_> = targets
            .sites
            .iter()
            .map(|site| {
                let body = body.clone().map_err(|why| failed(400, why));
                (site.clone(), body.and_then(|body| self.call(site, RequestBody::Full(body))))
            })
            .collect();
        let roll = Roll::of(&targets);
        let parts = targets.sites.iter().map(|site| (site.backend.id().clone(), site.is_required));
        let notice = targets.told_skipped().map(|told| format!("passed over: {told}"));
        let (claims, wish) = match pull {
            Some(Pull { model, wishes }) => {
                let claims = (self.gateway.claims.clone(), model.clone());
                (Some(claims), wishes.map(|wishes| (wishes, model)))
            }
            None => (None, None),
        };
        let holdings = vec![None; calls.len()];
        let progress = Progress::new(parts);
        let cluster = self.gateway.cluster.clone();
        let run = Run { progress, calls, claims, holdings, streams, notice, cluster, wish };
        let (pieces, out) = mpsc::channel(1);
        let mut stream = Stream::begin(run.go(pieces), out);
        match stream.first().await {
            Some(Piece::Whole { outcome, unrecorded, roll: told }) => {
                let mut roll = roll;
                for (backend, what) in told {
                    roll.tell(&backend, what);
                }
                Answered { unrecorded, ..Answered::outcome(outcome, roll) }
            }
            Some(piece) => {
                stream.begin_with(piece);
                Answered { content: Content::Stream(stream), roll, backend: None, unrecorded: None }
            }
            None => Answered::whole(StatusCode::BAD_GATEWAY, Vec::new(), roll),
        }
    }
}

// === impl Run ===

impl Run {
    /// Makes the calls. The first piece tells whether it becomes a stream: before a backend has begun one, a failure can
    /// still have a status of its own.
    async fn go(mut self, out: mpsc::Sender<Piece>) {
        let (reports, mut reported) = mpsc::channel(1);
        let calls = std::mem::take(&mut self.calls);
        let sites: Vec<_> = calls.iter().map(|(site, _)| site.clone()).collect();
        let ids: Vec<_> = sites.iter().map(|site| site.backend.id().clone()).collect();
        let claims = self.claims.take();
        let cluster = self.cluster.clone();
        let begin = |(index, (site, call))| one(index, site, call, claims.clone(), &cluster, reports.clone());
        let mut running: FuturesUnordered<_> = calls.into_iter().enumerate().map(begin).collect();
        drop(reports);
        let mut lines = Vec::new();
        let mut has_begun = false;
        loop {
            let report = tokio::select! {
                biased;
                report = reported.recv() => report,
                Some(()) = running.next() => continue,
            };
            let Some((index, event)) = report else { break };
            match event {
                Event::Claimed(holding) => self.holdings[index] = Some(holding),
                Event::Waits | Event::Began => {
                    if let Some(notice) = self.notice.take() {
                        lines.splice(0..0, status_line(&notice));
                    }
                    if matches!(event, Event::Waits) {
                        let told =
                            format!("backend {} pulls this model already: waiting for that", ids[index]);
                        lines.extend(status_line(&told));
                    }
                    has_begun = true;
                }
                Event::WaitsSince(percent) => {
                    lines.extend(status_line(&format!(
                        "backend {} pulls this model already: {percent} %",
                        ids[index]
                    )));
                }
                Event::Bytes(bytes) => {
                    self.progress.push(index, &bytes, &mut lines);
                    if let (Some(holding), Some(percent)) =
                        (&self.holdings[index], self.progress.percent(index))
                    {
                        holding.progressed(percent);
                    }
                }
                Event::Ended => self.progress.end(index, &mut lines),
                Event::Failed(Failed { status, message }) => {
                    self.progress.fail(index, status, &message, &mut lines);
                }
            }
            if self.streams && has_begun && !lines.is_empty() {
                let piece = Piece::Lines(Bytes::from(std::mem::take(&mut lines)));
                let mut sending = pin!(out.send(piece));
                // Meanwhile the calls go on as far as they can, and their claims are renewed.
                let sent = loop {
                    tokio::select! {
                        biased;
                        sent = &mut sending => break sent,
                        Some(()) = running.next() => {}
                    }
                };
                if sent.is_err() {
                    return;
                }
            }
        }
        let outcome = self.progress.outcome();
        let unrecorded = if outcome.status == 200 { self.record(&sites).await } else { None };
        let last = if self.streams && has_begun {
            if let Some(why) = &unrecorded {
                let told = format!("pulled, but not added to RequiredModels of the frontend: {why}");
                lines.extend(status_line(&told));
            }
            self.progress.finish(&mut lines);
            Piece::Last { lines: Bytes::from(lines), is_success: outcome.status == 200 }
        } else {
            let what = |index| if self.progress.has_succeeded(index) { "done" } else { "failed" };
            let roll = ids.into_iter().enumerate().map(|(index, id)| (id, what(index))).collect();
            Piece::Whole { outcome, unrecorded, roll }
        };
        // Nobody hears it if the client is gone.
        let _ = out.send(last).await;
    }

    /// Has the frontend require the model; gives the reason if that fails. Somebody may delete it at the same time, and
    /// forgets the wish after that: so whoever comes second, sees what the first has done.
    async fn record(&mut self, sites: &[Site]) -> Option<String> {
        let (wishes, model) = self.wish.take()?;
        if is_gone(sites, &model).await {
            return Some(GONE.to_owned());
        }
        if let Err(error) = wishes.remember(&model).await {
            tracing::warn!(model, %error, "a model was pulled and is not required by its frontend");
            return Some(error.to_string());
        }
        if !is_gone(sites, &model).await {
            return None;
        }
        if let Err(error) = wishes.forget(&model).await {
            tracing::warn!(model, %error, "a model was deleted right after its pull, and its frontend requires it still");
        }
        Some(GONE.to_owned())
    }
}

/// Whether no backend has the model any more that was just pulled, as far as they answer.
async fn is_gone(sites: &[Site], model: &str) -> bool {
    let name = canonical(model);
    let lacks = sites.iter().map(|site| async {
        site.backend.refresh_inventory().await && site.backend.view().has_model(&name) == Some(false)
    });
    join_all(lacks).await.into_iter().all(|lacks| lacks)
}

/// One call, from its head to the look at what it has changed.
async fn one(
    index: usize,
    site: Site,
    call: Result<Call, Failed>,
    claims: Option<(Claims, String)>,
    cluster: &Cluster,
    reports: mpsc::Sender<Report>,
) {
    let end = match (call, claims) {
        (Ok(mut call), Some((claims, model))) => {
            Box::pin(claimed(index, &mut call, &claims, &model, &reports)).await
        }
        (Ok(mut call), None) => relayed(index, &mut call, &reports).await.map(drop),
        (Err(failed), _) => Err(failed),
    };
    looked_again(cluster, [&site]).await;
    let event = match end {
        Ok(()) => Event::Ended,
        Err(failed) => Event::Failed(failed),
    };
    // Nobody hears it if the run was ended.
    let _ = reports.send((index, event)).await;
}

/// A call under a claim.
async fn claimed(
    index: usize,
    call: &mut Call,
    claims: &Claims,
    model: &str,
    reports: &mpsc::Sender<Report>,
) -> Result<(), Failed> {
    let backend = call.backend.id().clone();
    let mut tries = 1;
    let claim = loop {
        match claims.claim(&backend, ActionKind::Pull, model).await {
            Ok(claim) => break claim,
            Err(ClaimError::Held { .. }) => {
                let _ = reports.send((index, Event::Waits)).await;
                // A full channel means that there is enough to tell.
                let tell = |percent| drop(reports.try_send((index, Event::WaitsSince(percent))));
                claims.until_free(&backend, ActionKind::Pull, model, tell).await;
            }
            // The leadership may be on its way to another node.
            Err(ClaimError::Cluster(error)) if error.retry_after().is_some() && tries < CLAIM_TRIES => {
                tries += 1;
                sleep(CLAIM_PAUSE).await;
            }
            Err(error) => return Err(failed(503, format!("the cluster did not agree to the pull: {error}"))),
        }
    };
    let _ = reports.send((index, Event::Claimed(claim.holding()))).await;
    let done = claim.during(relayed(index, call, reports)).await;
    // A failure of a client's pull is no reason to put off others.
    let end = if matches!(done, Ok(Ok(Ending::Complete))) { WorkEnd::Done } else { WorkEnd::Abandoned };
    claim.release(end).await;
    done.map_err(|lost| failed(503, lost.to_string()))?.map(drop)
}

/// Hands over what a backend tells, piece by piece, and gives what that came to.
async fn relayed(index: usize, call: &mut Call, reports: &mpsc::Sender<Report>) -> Result<Ending, Failed> {
    let mut response = call.send(None).await?;
    if response.status != StatusCode::OK {
        let body = call.read(&mut response.body).await?;
        let status = response.status;
        Said { status, body }.verdict()?;
        return Err(failed(502, format!("it answered {status}")));
    }
    let mut watch = StreamWatch::new(StreamFormat::OllamaProgress);
    let mut event = Event::Began;
    loop {
        if reports.send((index, event)).await.is_err() {
            return Ok(Ending::Missing);
        }
        match call.next(&mut response.body).await? {
            Some(bytes) => {
                watch.push(&bytes);
                event = Event::Bytes(bytes);
            }
            None => return Ok(watch.ending()),
        }
    }
}

/// The body that asks for a stream; the error is for the client.
fn streaming(body: &Bytes) -> Result<Bytes, String> {
    let stream = Map::from_iter([("stream".to_owned(), Value::Bool(true))]);
    let merged = merge_pins(body, &[&stream]).map_err(|e| e.to_string())?;
    Ok(Bytes::from(merged.into_owned()))
}

fn status_line(status: &str) -> Vec<u8> {
    let mut line = json!({ "status": status }).to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The outcome of a run that the node's end has cut short, as the last line of its stream.
pub(super) fn stopped() -> Outcome {
    Outcome { status: 503, body: json!({ "error": "the node is shutting down" }).to_string().into_bytes() }
}
