//! How many requests ended how, and what they cost: each one is counted once.
//!
//! What belongs to a frontend or a backend is counted in its handle; here is the rest, and the count of one request.

mod models;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ollamaflow_protocol::end::End;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::wire::Usage;

use self::models::credible;
pub use self::models::{ModelTokens, Models};
use super::account::Account;
use super::ingress::Admitted;
use crate::actors::{BackendHandle, Ends, FrontendHandle, RouteTraffic};
use crate::clock;
use crate::keys::Pass;

/// The counts of a node that belong to no frontend.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests for an operation, with a host that no frontend has.
    homeless: Ends,
    /// Requests for none, by whether they were answered.
    aside: [AtomicU64; 2],
    models: Models,
}

/// One request that has not ended yet. Dropping it counts a client that went away.
#[derive(Debug)]
pub(super) struct Counted {
    frontend: Arc<FrontendHandle>,
    operation: Operation,
    started: Instant,
    /// Where it went last.
    route: Option<Arc<RouteTraffic>>,
    /// There if it has got an answer that takes tokens.
    model: Option<Arc<ModelTokens>>,
    end: End,
    account: Option<Rc<Account>>,
    /// Its hold on the virtual key that it came with.
    pass: Option<Box<Pass>>,
}

// === impl Tally ===

impl Tally {
    /// A request was answered here, or refused, without any frontend.
    pub(super) fn aside(&self, is_answered: bool) {
        self.aside[usize::from(is_answered)].fetch_add(1, Ordering::Relaxed);
    }

    /// A request's host is that of no frontend.
    pub(super) fn homeless(&self, operation: Operation) {
        self.homeless.count(operation, End::Refused);
    }

    /// Requests without a path of a backend: those that were answered here, or the others.
    pub(crate) fn asides(&self, is_answered: bool) -> u64 {
        self.aside[usize::from(is_answered)].load(Ordering::Relaxed)
    }

    /// How requests ended whose host is that of no frontend.
    pub(crate) fn homeless_ends(&self) -> &Ends {
        &self.homeless
    }

    /// Tokens by model.
    pub(crate) fn models(&self) -> &Models {
        &self.models
    }
}

// === impl Counted ===

impl Counted {
    /// A request that came at `started` was let in.
    pub(super) fn begin(
        admitted: &Admitted,
        pass: Option<Box<Pass>>,
        started: Instant,
        account: Option<&Rc<Account>>,
    ) -> Self {
        let (frontend, operation) = (admitted.frontend.clone(), admitted.operation);
        frontend.traffic().begin();
        let (route, model, account) = (None, None, account.cloned());
        Self { frontend, operation, started, route, model, end: End::Cancelled, account, pass }
    }

    /// Says how the request ends; the last word counts.
    pub(super) fn end(&mut self, end: End) {
        self.end = end;
    }

    /// The same of a request that is answered here, and is counted at once.
    pub(super) fn settle(counted: &mut Option<Self>, end: End) {
        if let Some(mut counted) = counted.take() {
            counted.end(end);
        }
    }

    /// The model that it names.
    pub(super) fn model(&self, name: Option<&str>) {
        if let (Some(pass), Some(name)) = (&self.pass, name) {
            pass.model(name);
        }
    }

    /// Its key does not let it in, as its body shows.
    pub(super) fn refused(&self) {
        if let Some(pass) = &self.pass {
            pass.end(End::Refused);
        }
    }

    /// The request goes to this backend.
    pub(super) fn goes_to(&mut self, backend: &Arc<BackendHandle>) {
        if !self.route.as_ref().is_some_and(|route| Arc::ptr_eq(route.backend(), backend)) {
            self.route = self.frontend.view().route_to(backend).cloned();
        }
    }

    /// The tokens of the answer are this model's.
    pub(super) fn of_model(&mut self, model: Arc<ModelTokens>) {
        self.model = Some(model);
    }

    /// The first content of a stream goes to the client now.
    pub(super) fn first_token(&self, now: Instant) {
        if let Some(route) = &self.route {
            route.first_token(now.saturating_duration_since(self.started));
        }
    }

    /// What the request cost.
    pub(super) fn used(&self, usage: Usage) {
        if let Some(model) = &self.model {
            model.add(usage);
        }
        if let Some(pass) = &self.pass {
            pass.used(credible(usage.prompt), credible(usage.completion));
        }
        if let Some(account) = &self.account {
            account.used(usage);
        }
    }

    /// The stream has gone on at another backend.
    pub(super) fn resumed(&mut self, at: &Arc<BackendHandle>) {
        self.frontend.traffic().resume();
        self.goes_to(at);
        if let Some(account) = &self.account {
            account.resumed(at.id());
        }
    }

    /// The answer broke off.
    pub(super) fn broke(&self, why: &'static str) {
        if let Some(account) = &self.account {
            account.failed(why);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let took = clock::since(self.started);
        self.frontend.traffic().end(self.operation, self.end, took, self.route.as_deref());
        if let Some(pass) = &self.pass {
            pass.end(self.end);
        }
        if let Some(account) = &self.account {
            account.ends(self.end);
        }
    }
}
