//! Metrics of the requests that this node carries. Labels are names of frontends, backends and operations; empty where a
//! request has none of these.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::names;
use crate::actors::{Directory, Ends, FrontendHandle, Want};
use crate::gateway::Tally;

/// The label of what a request does not have.
const NONE: &str = "";

/// The counts at the moment of a scrape.
#[derive(Debug)]
pub(super) struct TrafficMetrics {
    pub(super) tally: Arc<Tally>,
    pub(super) directory: Arc<Directory>,
}

impl Collector for TrafficMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let frontends = self.directory.frontends();
        self.requests(&frontends, &mut encoder)?;
        durations(&frontends, &mut encoder)?;
        queues(&frontends, &mut encoder)?;
        further_attempts(&frontends, &mut encoder)?;
        let mut family = Family::begin(&mut encoder, &names::TOKENS)?;
        for (model, prompt, completion) in self.tally.models().read() {
            for (kind, tokens) in [("prompt", prompt), ("completion", completion)] {
                family.count(&[("model", &model), ("kind", kind)], tokens)?;
            }
        }
        Ok(())
    }
}

// === impl TrafficMetrics ===

impl TrafficMetrics {
    fn requests(
        &self,
        frontends: &[Arc<FrontendHandle>],
        encoder: &mut DescriptorEncoder<'_>,
    ) -> fmt::Result {
        let mut family = Family::begin(encoder, &names::REQUESTS)?;
        // Always there, so that who counts ends finds each of them.
        for end in End::ALL {
            let count = match end {
                End::Complete => self.tally.asides(true),
                End::Refused => self.tally.asides(false),
                End::Error | End::Cancelled => 0,
            };
            let labels =
                [("frontend", NONE), ("backend", NONE), ("operation", NONE), ("outcome", end.label())];
            family.count(&labels, count)?;
        }
        write_ends(&mut family, NONE, NONE, self.tally.homeless_ends())?;
        for frontend in frontends {
            let name = frontend.id().as_ref();
            write_ends(&mut family, name, NONE, frontend.traffic().ends())?;
            for route in frontend.view().routes() {
                write_ends(&mut family, name, route.backend().id().as_ref(), route.ends())?;
            }
        }
        let mut family = Family::begin(encoder, &names::REQUESTS_IN_FLIGHT)?;
        each(&mut family, frontends, |frontend| frontend.traffic().in_flight())
    }
}

/// All ends of each operation that has occurred: a rate needs the 0 before the first one.
fn write_ends(family: &mut Family<'_>, frontend: &str, backend: &str, ends: &Ends) -> fmt::Result {
    for (operation, counts) in ends.read() {
        for (end, count) in End::ALL.into_iter().zip(counts) {
            let labels = [
                ("frontend", frontend),
                ("backend", backend),
                ("operation", operation.label()),
                ("outcome", end.label()),
            ];
            family.count(&labels, count)?;
        }
    }
    Ok(())
}

fn durations(frontends: &[Arc<FrontendHandle>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = Family::begin(encoder, &names::REQUEST_DURATION)?;
    for frontend in frontends {
        for (operation, durations) in frontend.traffic().durations() {
            let labels = [("frontend", frontend.id().as_ref()), ("operation", operation.label())];
            family.histogram(&labels, &durations)?;
        }
    }
    let mut family = Family::begin(encoder, &names::TIME_TO_FIRST_TOKEN)?;
    for frontend in frontends {
        for route in frontend.view().routes() {
            let times = route.first_tokens();
            if times.count > 0 {
                let labels =
                    [("frontend", frontend.id().as_ref()), ("backend", route.backend().id().as_ref())];
                family.histogram(&labels, &times)?;
            }
        }
    }
    Ok(())
}

fn queues(frontends: &[Arc<FrontendHandle>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = Family::begin(encoder, &names::QUEUE_WAIT)?;
    for frontend in frontends {
        family.histogram(&[("frontend", frontend.id().as_ref())], &frontend.traffic().queue())?;
    }
    let mut family = Family::begin(encoder, &names::QUEUE_LENGTH)?;
    each(&mut family, frontends, |frontend| frontend.queued().into())?;
    let mut family = Family::begin(encoder, &names::QUEUE_LIMIT)?;
    each(&mut family, frontends, |frontend| frontend.view().config.max_queue_length.into())?;
    let mut family = Family::begin(encoder, &names::DENIED)?;
    for frontend in frontends {
        for want in Want::ALL {
            let labels = [("frontend", frontend.id().as_ref()), ("reason", want.label())];
            family.count(&labels, frontend.traffic().denied(want))?;
        }
    }
    Ok(())
}

fn further_attempts(frontends: &[Arc<FrontendHandle>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = Family::begin(encoder, &names::RETRIES)?;
    for frontend in frontends {
        family.count(&[("frontend", frontend.id().as_ref())], frontend.traffic().retries())?;
    }
    let mut family = Family::begin(encoder, &names::HEDGES)?;
    for frontend in frontends {
        family.count(&[("frontend", frontend.id().as_ref())], frontend.traffic().hedges())?;
    }
    let mut family = Family::begin(encoder, &names::STREAMS_RESUMED)?;
    for frontend in frontends {
        family.count(&[("frontend", frontend.id().as_ref())], frontend.traffic().resumed())?;
    }
    Ok(())
}

/// A gauge of each frontend.
fn each(
    family: &mut Family<'_>,
    frontends: &[Arc<FrontendHandle>],
    value: impl Fn(&FrontendHandle) -> u64,
) -> fmt::Result {
    for frontend in frontends {
        family.gauge(&[("frontend", frontend.id().as_ref())], value(frontend))?;
    }
    Ok(())
}
use ollamaflow_protocol::end::End;
