//! Metrics of the actors: how often they died, and whether they keep up.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::names;
use crate::actors::{ActorKind, Directory};

/// The actors at the moment of a scrape.
#[derive(Debug)]
pub(super) struct ActorMetrics {
    pub(super) directory: Arc<Directory>,
}

impl Collector for ActorMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = Family::begin(&mut encoder, &names::ACTOR_RESTARTS)?;
        for kind in ActorKind::ALL {
            family.count(&[("actor", kind.label())], self.directory.restarts(kind))?;
        }
        let mut family = Family::begin(&mut encoder, &names::ACTOR_MAILBOX)?;
        for frontend in self.directory.frontends() {
            let labels = [("actor", ActorKind::Frontend.label()), ("name", frontend.id().as_ref())];
            family.gauge(&labels, frontend.mail().into())?;
        }
        for backend in self.directory.backends() {
            let labels = [("actor", ActorKind::Backend.label()), ("name", backend.id().as_ref())];
            family.gauge(&labels, backend.mail().into())?;
        }
        Ok(())
    }
}
