//! A blob on its way to several backends at once. Each piece goes to all of them before the next one is taken from the
//! client, so that the slowest sets the pace and nothing is held but one piece for each; one that fails gets no more.

use actix_web::http::StatusCode;
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, LocalBoxStream, StreamExt as _};
use ollamaflow_protocol::models::progress::Failed;
use tokio::sync::mpsc;

use super::call::Said;
use super::everywhere::{Called, together};
use super::roll::Roll;
use super::targets::{Site, Targets};
use super::{Answered, Managing};
use crate::gateway::intake::{self, Intake};
use crate::gateway::patience::Progress;
use crate::gateway::refusal::Refusal;
use crate::upstream::{BodySourceError, RequestBody};

// === impl Managing ===

impl Managing<'_> {
    /// Uploads the client's body to all targets.
    pub(super) async fn upload(self, targets: Targets, body: Intake) -> Result<Answered, Refusal> {
        let mut roll = Roll::of(&targets);
        let called = match body {
            Intake::Kept(body) | Intake::Once(body) => {
                self.called(&targets.sites, |_| Ok(body.clone())).await
            }
            Intake::Streaming(RequestBody::Stream(body), ..) => {
                let length = body.length();
                self.fanned_out(&targets.sites, length, body.into_pieces()).await?
            }
            Intake::Streaming(..) => return Err(Refusal::BodyBroken),
        };
        let is_new =
            called.iter().any(|(_, said)| said.as_ref().is_ok_and(|said| said.status == StatusCode::CREATED));
        Ok(match together(&called, &mut roll) {
            None => Answered::missing(&called, roll),
            Some(outcome) if outcome.status == 200 => {
                let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
                Answered::whole(status, Vec::new(), roll)
            }
            Some(outcome) => Answered::outcome(outcome, roll),
        })
    }

    async fn fanned_out(
        self,
        sites: &[Site],
        length: Option<u64>,
        mut pieces: LocalBoxStream<'static, Result<Bytes, BodySourceError>>,
    ) -> Result<Vec<Called>, Refusal> {
        let mut offers = Vec::with_capacity(sites.len());
        let mut calls = Vec::with_capacity(sites.len());
        for site in sites {
            let (offer, taken) = mpsc::channel(1);
            offers.push(offer);
            calls.push(self.uploaded(site, length, taken));
        }
        let calls = join_all(calls);
        tokio::pin!(calls);
        loop {
            let piece = tokio::select! {
                biased;
                // All have answered: what is left of the body is of no use to anybody.
                called = &mut calls => return Ok(called),
                piece = pieces.next() => piece,
            };
            let piece = match piece {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => {
                    // The uploads are cut, so that no backend takes a part for the whole.
                    return Err(intake::refusal_of(error));
                }
                None => break,
            };
            let offering = async {
                let sent = join_all(offers.iter().map(|offer| offer.send(piece.clone()))).await;
                sent.into_iter().map(|sent| sent.is_ok()).collect::<Vec<_>>()
            };
            let heard = tokio::select! {
                biased;
                called = &mut calls => return Ok(called),
                heard = offering => heard,
            };
            let mut heard = heard.into_iter();
            offers.retain(|_| heard.next().unwrap_or(false));
        }
        drop(offers);
        Ok(calls.await)
    }

    /// The upload at one backend.
    async fn uploaded(self, site: &Site, length: Option<u64>, taken: mpsc::Receiver<Bytes>) -> Called {
        let progress = Progress::start();
        let turn = progress.clone();
        let pieces = stream::unfold((taken, turn), |(mut taken, turn)| async move {
            // It has taken all that there is; the next piece is the client's, or another backend's, to wait for.
            turn.await_client();
            let piece = taken.recv().await;
            turn.await_backend();
            Some((Ok(piece?), (taken, turn)))
        });
        let said: Result<Said, Failed> = match self.call(site, RequestBody::stream(length, pieces)) {
            Ok(mut call) => call.whole(Some(&progress)).await,
            Err(failed) => Err(failed),
        };
        (site.clone(), said)
    }
}
