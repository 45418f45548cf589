//! Pulling, pushing and creating: many streams of progress, told as one.
//!
//! Each call hands its pieces over one at a time, and is not polled while the client does not take what was made of them:
//! so a slow client slows the backends, and nothing grows here. Dropping the run drops all calls.

use actix_web::http::StatusCode;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use ollamaflow_protocol::json::merge_pins;
use ollamaflow_protocol::models::progress::{Failed, Outcome, Progress};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::call::{Call, Said, failed};
use super::roll::Roll;
use super::stream::{Piece, Stream};
use super::targets::{Site, Targets};
use super::wishes::Wishes;
use super::{Answered, Content, Managing};
use crate::upstream::RequestBody;

/// What a call reports, with its place among the targets.
type Report = (usize, Event);

enum Event {
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
    /// The client wants to see the progress.
    streams: bool,
    /// What is told first.
    notice: Option<String>,
    /// What the frontend is to require afterwards.
    wish: Option<(Wishes, String)>,
}

// === impl Managing ===

impl Managing<'_> {
    /// The client's request at each target, and one answer. `wish`: the model that the frontend is to require if all that
    /// have to have succeeded.
    pub(super) async fn merged(
        self,
        targets: Targets,
        body: &Bytes,
        streams: bool,
        wish: Option<(Wishes, String)>,
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
        let run = Run { progress: Progress::new(parts), calls, streams, notice, wish };
        let (pieces, out) = mpsc::channel(1);
        let mut stream = Stream::new(Box::pin(run.go(pieces)), out);
        match stream.first().await {
            Some(Piece::Whole { outcome, unrecorded, roll: told }) => {
                let mut roll = roll;
                told.into_iter().for_each(|(backend, what)| roll.tell(&backend, what));
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
        let ids: Vec<_> = calls.iter().map(|(site, _)| site.backend.id().clone()).collect();
        let begin = |(index, (site, call))| one(index, site, call, reports.clone());
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
                Event::Began if has_begun => {}
                Event::Began => {
                    has_begun = true;
                    if let Some(notice) = self.notice.take() {
                        lines.splice(0..0, status_line(&notice));
                    }
                }
                Event::Bytes(bytes) => self.progress.push(index, &bytes, &mut lines),
                Event::Ended => self.progress.end(index, &mut lines),
                Event::Failed(Failed { status, message }) => {
                    self.progress.fail(index, status, &message, &mut lines);
                }
            }
            if self.streams && has_begun && !lines.is_empty() {
                let piece = Piece::Lines(Bytes::from(std::mem::take(&mut lines)));
                if out.send(piece).await.is_err() {
                    return;
                }
            }
        }
        let outcome = self.progress.outcome();
        let unrecorded = if outcome.status == 200 { self.record().await } else { None };
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

    /// Has the frontend require the model; gives the reason if that fails.
    async fn record(&mut self) -> Option<String> {
        let (wishes, model) = self.wish.take()?;
        let error = wishes.remember(&model).await.err()?;
        tracing::warn!(model, %error, "a model was pulled and is not required by its frontend");
        Some(error.to_string())
    }
}

/// One call, from its head to the look at what it has changed.
async fn one(index: usize, site: Site, call: Result<Call, Failed>, reports: mpsc::Sender<Report>) {
    let end = match call {
        Ok(mut call) => relayed(index, &mut call, &reports).await,
        Err(failed) => Err(failed),
    };
    site.look_again().await;
    let event = match end {
        Ok(()) => Event::Ended,
        Err(failed) => Event::Failed(failed),
    };
    // Nobody hears it if the run was ended.
    let _ = reports.send((index, event)).await;
}

/// Hands over what a backend tells, piece by piece.
async fn relayed(index: usize, call: &mut Call, reports: &mpsc::Sender<Report>) -> Result<(), Failed> {
    let mut response = call.send(None).await?;
    if response.status != StatusCode::OK {
        let body = call.read(&mut response.body).await?;
        let status = response.status;
        Said { status, body }.verdict()?;
        return Err(failed(502, format!("it answered {status}")));
    }
    let mut event = Event::Began;
    loop {
        if reports.send((index, event)).await.is_err() {
            return Ok(());
        }
        match call.next(&mut response.body).await? {
            Some(bytes) => event = Event::Bytes(bytes),
            None => return Ok(()),
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
