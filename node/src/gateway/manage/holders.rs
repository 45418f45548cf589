//! Which backends have what a change starts from. What is known of a backend's models may be old where it says that
//! something is missing, so that a backend is asked before it is passed over.

use actix_web::http::{Method, StatusCode};
use bytes::Bytes;
use futures_util::future::join_all;
use ollamaflow_protocol::model::{canonical, same_model};
use ollamaflow_protocol::models::satisfies;
use serde_json::json;

use super::Managing;
use super::refusal::ManageError;
use super::targets::{Site, Skipped, Targets};

// === impl Managing ===

impl Managing<'_> {
    /// The targets that have the model and blobs that a new model is made from. Nobody pulls for it.
    pub(super) async fn able_to_create(
        self,
        mut targets: Targets,
        from: Option<&str>,
        blobs: &[String],
    ) -> Result<Targets, ManageError> {
        if let Some(model) = from {
            let have = join_all(targets.sites.iter().map(|site| self.has_model(site, model))).await;
            targets.pass_over(&have, "without");
            if targets.sites.is_empty() {
                return Err(absent(&targets, model));
            }
        }
        if !blobs.is_empty() {
            let have = join_all(targets.sites.iter().map(|site| self.has_blobs(site, blobs))).await;
            // If nobody has them, the backends are the ones to say so.
            if have.contains(&true) {
                targets.pass_over(&have, "without");
            }
        }
        Ok(targets)
    }

    /// One target that has the model: the one with the fewest requests in flight.
    pub(super) async fn one_with(self, mut targets: Targets, model: &str) -> Result<Targets, ManageError> {
        let name = canonical(model);
        targets
            .sites
            .sort_by_key(|site| (site.view.has_model(&name) != Some(true), site.backend.in_flight()));
        for site in &targets.sites {
            if self.has_model(site, model).await {
                let site = Site { is_required: true, ..site.clone() };
                return Ok(Targets { sites: vec![site], skipped: Vec::new(), ..targets });
            }
        }
        Err(absent(&targets, model))
    }

    /// Whether the backend has the model. One that does not answer has it, as far as is known: the change itself will tell.
    async fn has_model(self, site: &Site, model: &str) -> bool {
        if site.view.has_model(&canonical(model)) == Some(true) {
            return true;
        }
        let body = Bytes::from(json!({ "model": model }).to_string());
        match self.look(site, &Method::POST, "/api/show", body) {
            Ok(mut call) => call.whole(None).await.is_ok_and(|said| said.status != StatusCode::NOT_FOUND),
            Err(_) => true,
        }
    }

    async fn has_blobs(self, site: &Site, blobs: &[String]) -> bool {
        for digest in blobs {
            // Anything else than a digest is the backend's to refuse.
            if !digest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-')) {
                continue;
            }
            let Ok(mut call) = self.look(site, &Method::HEAD, &format!("/api/blobs/{digest}"), Bytes::new())
            else {
                continue;
            };
            if call.whole(None).await.is_ok_and(|said| said.status == StatusCode::NOT_FOUND) {
                return false;
            }
        }
        true
    }
}

impl Managing<'_> {
    /// Refuses to delete what another frontend would have pulled again at once.
    pub(super) fn must_not_be_required_elsewhere(
        self,
        targets: &Targets,
        model: &str,
    ) -> Result<(), ManageError> {
        let state = self.gateway.cluster.state();
        let own = &self.admitted.config.identifier;
        let others = state.catalog().frontends.values();
        let name = canonical(model);
        for frontend in others.filter(|frontend| frontend.active && frontend.identifier != *own) {
            let shared = targets.sites.iter().find(|site| frontend.backends.contains(site.backend.id()));
            let wishes = frontend.required_models.iter().chain(&frontend.preload_models);
            let Some(site) = shared else { continue };
            // Another model there may grant the same.
            let is_granted = |wish: &str| {
                let others = site.view.disk().into_iter().flat_map(|disk| disk.satisfying(wish));
                others.into_iter().any(|other| !same_model(&other.name, model))
            };
            if wishes.into_iter().any(|wish| satisfies(wish, &name) && !is_granted(wish)) {
                return Err(ManageError::RequiredElsewhere {
                    model: model.to_owned(),
                    frontend: frontend.identifier.clone(),
                    backend: site.backend.id().clone(),
                });
            }
        }
        Ok(())
    }
}

// === impl Targets ===

impl Targets {
    /// Refuses to make a model where some that cannot make it have another one of that name: requests would be answered by
    /// one or by the other.
    pub(super) fn must_agree_on(&self, model: &str, origin: &str) -> Result<(), ManageError> {
        let name = canonical(model);
        let holds =
            |skipped: &&Skipped| skipped.why == "without" && skipped.view.has_model(&name) == Some(true);
        let holders: Vec<String> =
            self.skipped.iter().filter(holds).map(|skipped| skipped.backend.id().to_string()).collect();
        if holders.is_empty() {
            return Ok(());
        }
        let (model, origin, backends) = (model.to_owned(), origin.to_owned(), holders.join(", "));
        Err(ManageError::Diverging { model, origin, backends })
    }
}

/// The error for a model that no target has. A backend that cannot be asked now may be known to have it.
pub(super) fn absent(targets: &Targets, model: &str) -> ManageError {
    let name = canonical(model);
    let others: Vec<String> = targets
        .skipped
        .iter()
        .filter(|skipped| skipped.why != "without" && skipped.view.has_model(&name) == Some(true))
        .map(|skipped| format!("{}, which is {}", skipped.backend.id(), skipped.why))
        .collect();
    if others.is_empty() {
        ManageError::NoModel(model.to_owned())
    } else {
        ManageError::PerhapsElsewhere { model: model.to_owned(), others: others.join("; ") }
    }
}
