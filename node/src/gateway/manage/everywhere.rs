//! Changes that take one short call at each target: deleting, copying, looking for a blob.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::rt::time::timeout;
use bytes::Bytes;
use futures_util::future::{join, join_all};
use ollamaflow_protocol::id::BackendId;
use ollamaflow_protocol::models::desired::ActionKind;
use ollamaflow_protocol::models::progress::{Failed, Outcome, Progress};
use ollamaflow_protocol::route::ClientProtocol;
use ollamaflow_protocol::wire;

use super::call::Said;
use super::holders::absent;
use super::refusal::ManageError;
use super::roll::Roll;
use super::targets::{Site, Targets};
use super::{Answered, Content, Managing};
use crate::cluster::{Cluster, Note};
use crate::upstream::RequestBody;

/// What a backend says of its success, in the words of a stream.
const SUCCESS: &[u8] = b"{\"status\":\"success\"}\n";

/// Longest wait before a deletion for pulls that are about to be given up.
const GIVEN_UP: Duration = Duration::from_secs(3);

/// What became of a call at one target.
pub(super) type Called = (Site, Result<Said, Failed>);

// === impl Managing ===

impl Managing<'_> {
    /// The client's request at each target. Those that have no such model have nothing to do with it.
    pub(super) async fn everywhere(
        self,
        targets: Targets,
        model: &str,
        body: &Bytes,
    ) -> Result<Answered, ManageError> {
        let called = self.called(&targets.sites, |_| Ok(body.clone())).await;
        looked_again(&self.gateway.cluster, called.iter().map(|(site, _)| site)).await;
        let mut roll = Roll::of(&targets);
        match together(&called, &mut roll) {
            None => match absent(&targets, model) {
                // One of them has said so already.
                ManageError::NoModel(_) => Ok(Answered::missing(&called, roll)),
                elsewhere => Err(elsewhere),
            },
            Some(Outcome { status: 200, .. }) => Ok(Answered::whole(StatusCode::OK, Vec::new(), roll)),
            Some(outcome) => Ok(Answered::outcome(outcome, roll)),
        }
    }

    /// Waits until pulls of the model have ended that were begun for a wish that is no more: each would bring it back. One
    /// that goes on is a client's, who wants it.
    pub(super) async fn until_given_up(self, targets: &Targets, model: &str) {
        let claims = &self.gateway.claims;
        let ends = targets
            .sites
            .iter()
            .map(|site| claims.until_free(site.backend.id(), ActionKind::Pull, model, |_| {}));
        let _ = timeout(GIVEN_UP, join_all(ends)).await;
    }

    /// Whether all targets have the blob.
    pub(super) async fn has_blob(self, targets: Targets) -> Answered {
        let called = self.called(&targets.sites, |_| Ok(Bytes::new())).await;
        let mut roll = Roll::of(&targets);
        for (site, said) in &called {
            let what = match said {
                Ok(said) if said.status == StatusCode::OK => "done",
                Ok(said) if said.status == StatusCode::NOT_FOUND => "without",
                _ => "failed",
            };
            roll.tell(site.backend.id(), what);
        }
        let all =
            |status| called.iter().all(|(_, said)| said.as_ref().is_ok_and(|said| said.status == status));
        let common = [StatusCode::OK, StatusCode::BAD_REQUEST].into_iter().find(|status| all(*status));
        // Whoever hears this uploads the blob, to all of them.
        Answered::whole(common.unwrap_or(StatusCode::NOT_FOUND), Vec::new(), roll)
    }

    /// Makes the call at each of these backends, with the body that `body` gives it.
    pub(super) async fn called(
        self,
        sites: &[Site],
        body: impl Fn(&Site) -> Result<Bytes, Failed>,
    ) -> Vec<Called> {
        let calls = sites.iter().map(|site| {
            let body = body(site)
                .map(|body| if body.is_empty() { RequestBody::Empty } else { RequestBody::Full(body) });
            let call = body.and_then(|body| self.call(site, body));
            async move {
                let said = match call {
                    Ok(mut call) => call.whole(None).await,
                    Err(failed) => Err(failed),
                };
                (site.clone(), said)
            }
        });
        join_all(calls).await
    }
}

/// What the calls come to together; `None` if every backend that answered says that it has no such thing.
pub(super) fn together(called: &[Called], roll: &mut Roll) -> Option<Outcome> {
    let mut concerned: Vec<(BackendId, bool, Result<(), Failed>)> = Vec::with_capacity(called.len());
    for (site, said) in called {
        let id = site.backend.id();
        let verdict = match said {
            Ok(said) if said.status == StatusCode::NOT_FOUND => {
                roll.tell(id, "without");
                continue;
            }
            Ok(said) => said.verdict(),
            Err(failed) => Err(failed.clone()),
        };
        roll.tell(id, if verdict.is_ok() { "done" } else { "failed" });
        concerned.push((id.clone(), site.is_required, verdict));
    }
    if concerned.is_empty() {
        return None;
    }
    // Where none succeeds, there is no success, whoever had to.
    let nobody = concerned.iter().all(|(_, _, verdict)| verdict.is_err());
    let mut progress =
        Progress::new(concerned.iter().map(|(id, required, _)| (id.clone(), *required || nobody)));
    let mut lines = Vec::new();
    for (index, (_, _, verdict)) in concerned.iter().enumerate() {
        match verdict {
            Ok(()) => progress.push(index, SUCCESS, &mut lines),
            Err(failed) => progress.fail(index, failed.status, &failed.message, &mut lines),
        }
    }
    Some(progress.outcome())
}

// === impl Answered ===

impl Answered {
    pub(super) fn whole(status: StatusCode, body: Vec<u8>, roll: Roll) -> Self {
        Self { content: Content::Whole { status, body }, roll, backend: None, unrecorded: None }
    }

    /// What the first backend says that has no such thing.
    pub(super) fn missing(called: &[Called], roll: Roll) -> Self {
        let words = called.iter().find_map(|(_, said)| said.as_ref().ok()?.verdict().err());
        let words = words.map_or_else(|| "not found".to_owned(), |failed| failed.message);
        let body = wire::error_body(ClientProtocol::Ollama, 404, &words).unwrap_or_default();
        Self::whole(StatusCode::NOT_FOUND, body.into_bytes(), roll)
    }

    pub(super) fn outcome(outcome: Outcome, roll: Roll) -> Self {
        let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::BAD_GATEWAY);
        Self::whole(status, outcome.body, roll)
    }
}

/// Has the models of the backends looked at anew, by all nodes, so that the next list shows what was changed.
pub(super) async fn looked_again(cluster: &Cluster, sites: impl IntoIterator<Item = &Site>) {
    let sites: Vec<_> = sites.into_iter().collect();
    let backends = sites.iter().map(|site| site.backend.id().clone()).collect();
    let note = Note::ModelsChanged(backends);
    join(cluster.tell(&note), join_all(sites.iter().map(|site| site.look_again()))).await;
}

// === impl Site ===

impl Site {
    /// Has the backend's models looked at anew by this node.
    pub(super) async fn look_again(&self) {
        // If it does not answer, the list will show it when it does.
        let _ = self.backend.refresh_inventory().await;
    }
}
