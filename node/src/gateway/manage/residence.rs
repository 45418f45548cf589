//! Loading a model into memory and dropping it from there: at all backends that have it, so that each is as the client
//! wants it, wherever the next request goes.
//!
//! A load succeeds with the first backend that has the model in memory, since clients load before they chat; each takes a
//! slot, as any request that makes an engine work, and a backend without a free one is passed over. Where fewer than two
//! have the model, and where clients may not manage models, a load goes the way of any other request, and to one backend.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use ollamaflow_protocol::inspect::Residence;

use super::call::failed;
use super::everywhere::{looked_again, together};
use super::holders::absent;
use super::permission::is_allowed;
use super::roll::Roll;
use super::targets::{Narrowing, Purpose, Site, Targets};
use super::{Answered, EACH, ManageError, Managing};
use crate::actors::{BackendHandle, Outcome, Pick, Query, Tried, Wish};
use crate::gateway::Gateway;
use crate::gateway::answer::{Answer, AnswerBody};
use crate::gateway::attempt::Attempts;
use crate::gateway::forward::Asked;
use crate::gateway::identity::RequestId;
use crate::gateway::ingress::Admitted;
use crate::gateway::intake::{Intake, Received};
use crate::gateway::naming;
use crate::gateway::patience::within;
use crate::gateway::refusal::Refusal;
use crate::gateway::relay;
use crate::gateway::routing::query;
use crate::gateway::trace::Trace;
use crate::gateway::translating::{Translating, own_body};

/// Most bytes of an answer that only says that a model is loaded.
const MAX_ANSWER: usize = 256 * 1024;

// === impl Gateway ===

impl Gateway {
    /// Loads or unloads at all backends that have the model; `None` if the request goes the way of others.
    pub(in crate::gateway) async fn reside(
        &self,
        request: &HttpRequest,
        admitted: &Admitted,
        received: &Received,
        wish: Option<Arc<Wish>>,
        id: &RequestId,
        trace: &mut Trace,
    ) -> Result<Option<Answered>, Refusal> {
        let Some(residence) = received.facts.residence else { return Ok(None) };
        let may = is_allowed(request, admitted, &self.settings);
        if !may && (residence == Residence::Unload || Narrowing::of(request).has_filter()) {
            return Err(ManageError::NotAllowed { frontend: admitted.config.identifier.clone() }.into());
        }
        let (Intake::Kept(body) | Intake::Once(body)) = &received.body else { return Ok(None) };
        let query = query(request, &admitted.frontend, admitted.operation, &received.facts, wish, None);
        if !may || query.model.is_none() {
            return Ok(None);
        }
        let Some(targets) = targets(residence, request, admitted, &query)? else { return Ok(None) };
        let managing = Managing { gateway: self, request, admitted, id };
        match residence {
            Residence::Load => managing.load(targets, body, &query, received, trace).await,
            Residence::Unload => managing.unload(targets, body, &query, received, trace).await,
        }
    }
}

/// The backends that load the model, which have it as far as is known, or that drop it: any may have it, and one that has
/// not says so. `None` if there are too few of them.
pub(super) fn targets(
    residence: Residence,
    request: &HttpRequest,
    admitted: &Admitted,
    query: &Query,
) -> Result<Option<Targets>, ManageError> {
    let frontend = &admitted.frontend;
    let narrowing = Narrowing::of(request);
    narrowing.must_be_known(frontend)?;
    let is_for_some = narrowing.has_filter();
    let (purpose, fewest) = match residence {
        Residence::Load if is_for_some => (Purpose::Add, 1),
        Residence::Load => (Purpose::Add, 2),
        Residence::Unload => (Purpose::Remove, 1),
    };
    let mut targets = Targets::narrowed(&narrowing, frontend, purpose);
    if residence == Residence::Load {
        targets.sites.retain(|site| {
            let has_model = frontend.has_model(&site.view, query);
            has_model == Some(true) || is_for_some && has_model.is_none()
        });
        // The usual way would load it somewhere else.
        if is_for_some && targets.sites.is_empty() {
            return Err(absent(&targets, query.model.as_deref().unwrap_or_default()));
        }
    }
    Ok((targets.sites.len() >= fewest).then_some(targets))
}

// === impl Managing ===

impl Managing<'_> {
    async fn load(
        self,
        targets: Targets,
        body: &Bytes,
        query: &Query,
        received: &Received,
        trace: &mut Trace,
    ) -> Result<Option<Answered>, Refusal> {
        let translating = Translating::new(&self.gateway.fetcher, received.facts.model.as_deref());
        let attempts = Attempts {
            client: &self.gateway.upstream,
            request: self.request,
            admitted: self.admitted,
            query,
            id: self.id,
            translating: &translating,
        };
        let mut roll = Roll::of(&targets);
        let frontend = &self.admitted.frontend;
        let all: Vec<_> = frontend.view().backends().map(|(backend, _)| backend.clone()).collect();
        let apart_from = |sites: &[Site]| -> Tried {
            let is_meant = |other: &&Arc<_>| sites.iter().any(|site| Arc::ptr_eq(other, &site.backend));
            all.iter().filter(|other| !is_meant(other)).cloned().collect()
        };
        let mut loads = Vec::with_capacity(targets.sites.len());
        for site in &targets.sites {
            match frontend.acquire_now(query, &apart_from(std::slice::from_ref(site))) {
                Some(pick) => loads.push(loaded(attempts, body, pick)),
                None => roll.tell(site.backend.id(), "busy"),
            }
        }
        if loads.is_empty() && !Narrowing::of(self.request).has_filter() {
            // It waits for one of them, as other requests do.
            return Ok(None);
        }
        if loads.is_empty() {
            let pick = frontend.acquire(query, &apart_from(&targets.sites), &mut trace.queued).await?;
            loads.push(loaded(attempts, body, pick));
        }
        trace.route();
        trace.attempts_at(loads.len(), EACH);
        let mut first: Option<Result<(StatusCode, Bytes), Refusal>> = None;
        let loaded = join_all(loads).await;
        let is_loaded = |site: &&Site| loaded.iter().any(|(backend, _)| Arc::ptr_eq(backend, &site.backend));
        looked_again(&self.gateway.cluster, targets.sites.iter().filter(is_loaded)).await;
        for (backend, answer) in loaded {
            let is_good = answer.as_ref().is_ok_and(|(status, _)| status.is_success());
            roll.tell(backend.id(), if is_good { "done" } else { "failed" });
            let has_good = matches!(&first, Some(Ok((status, _))) if status.is_success());
            if first.is_none() || is_good && !has_good {
                first = Some(answer);
            }
        }
        let Some(first) = first else { return Ok(None) };
        let (status, body) = first?;
        Ok(Some(Answered::whole(status, body.to_vec(), roll)))
    }

    /// `None` if no backend has the model: it may be another one's other name.
    async fn unload(
        self,
        targets: Targets,
        body: &Bytes,
        query: &Query,
        received: &Received,
        trace: &mut Trace,
    ) -> Result<Option<Answered>, Refusal> {
        let mut roll = Roll::of(&targets);
        let Managing { request, admitted, .. } = self;
        let model = received.facts.model.as_deref();
        let named = |site: &Site| naming::at(query, model, &admitted.config, &site.view, false);
        let own = |site: &Site| {
            own_body(request, admitted, &site.view, Asked::OfMany, named(site).as_ref(), body)
                .map_err(|refusal| failed(refusal.status().as_u16(), refusal.to_string()))
        };
        let called = self.called(&targets.sites, own).await;
        let Some(outcome) = together(&called, &mut roll) else { return Ok(None) };
        looked_again(&self.gateway.cluster, called.iter().map(|(site, _)| site)).await;
        trace.route();
        trace.attempts_at(targets.sites.len(), EACH);
        if outcome.status != 200 {
            return Ok(Some(Answered::outcome(outcome, roll)));
        }
        let mut said = called.iter().filter_map(|(site, said)| Some((site, said.as_ref().ok()?)));
        let body = said.find(|(_, said)| said.status == StatusCode::OK).map(|(site, said)| {
            let body = said.body.clone();
            match named(site) {
                Some(named) => named.echoed(admitted.operation, body).to_vec(),
                None => body.to_vec(),
            }
        });
        Ok(Some(Answered::whole(StatusCode::OK, body.unwrap_or_default(), roll)))
    }
}

/// Loads it at the backend that was picked, and reads the answer.
async fn loaded(
    attempts: Attempts<'_>,
    body: &Bytes,
    pick: Pick,
) -> (Arc<BackendHandle>, Result<(StatusCode, Bytes), Refusal>) {
    let backend = Arc::clone(pick.permit.backend());
    let answer = match attempts.at(Intake::Kept(body.clone()), pick).await {
        Ok(answer) => read(*answer).await,
        Err(refusal) => Err(refusal),
    };
    (backend, answer)
}

/// Reads an answer to its end.
async fn read(answer: Answer) -> Result<(StatusCode, Bytes), Refusal> {
    let status = answer.status;
    let mut echo = answer.named.as_ref().and_then(|named| named.echo(&answer));
    let mut shown = |body| match &mut echo {
        Some(echo) => echo.push(body),
        None => body,
    };
    let mut live = match answer.body {
        AnswerBody::Whole(body) => return Ok((status, shown(body))),
        AnswerBody::Live(live) => live,
    };
    let backend = answer.backend.id().clone();
    let mut body = BytesMut::new();
    live.held.iter().for_each(|piece| body.extend_from_slice(piece));
    while body.len() <= MAX_ANSWER {
        match within(live.idle, relay::next(&mut live.rest)).await {
            Some(Some(Ok(piece))) => body.extend_from_slice(&piece),
            Some(Some(Err(e))) => {
                live.permit.finish(Outcome::Failed);
                return Err(Refusal::Failed { backend, why: e.to_string() });
            }
            Some(None) => {
                live.permit.finish(Outcome::Complete);
                return Ok((status, shown(body.freeze())));
            }
            None => {
                live.permit.finish(Outcome::Failed);
                let waited_ms = live.idle.unwrap_or_default().as_millis();
                return Err(Refusal::TimedOut {
                    backend,
                    waited_ms: u64::try_from(waited_ms).unwrap_or(u64::MAX),
                });
            }
        }
    }
    Err(Refusal::Failed { backend, why: "its answer is no answer to a load".to_owned() })
}
