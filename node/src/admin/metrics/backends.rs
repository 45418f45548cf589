//! Metrics of backends as this node sees them.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ollamaflow_protocol::object::BackendState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::names::{self, Metric};
use crate::actors::{BackendHandle, Directory, Outcome};

/// The backends at the moment of a scrape.
#[derive(Debug)]
pub(super) struct BackendMetrics {
    pub(super) directory: Arc<Directory>,
}

const OUTCOMES: [(Outcome, &str); Outcome::COUNT] = [
    (Outcome::Complete, "complete"),
    (Outcome::Failed, "failed"),
    (Outcome::Cancelled, "cancelled"),
    (Outcome::Unreachable, "unreachable"),
    (Outcome::Declined, "declined"),
];

const STATES: [(BackendState, &str); 3] = [
    (BackendState::Active, "active"),
    (BackendState::Draining, "draining"),
    (BackendState::Disabled, "disabled"),
];

/// What one gauge is of a backend.
type Gauge<'a> = dyn Fn(&BackendHandle) -> u64 + 'a;

/// The states of a circuit: as the admin API names them, and as labels.
const CIRCUITS: [(&str, &str); 3] = [("Closed", "closed"), ("Open", "open"), ("HalfOpen", "half_open")];

impl Collector for BackendMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (backends, now) = (self.directory.backends(), Instant::now());
        let encoder = &mut encoder;
        let gauges: [(&Metric, &Gauge<'_>); 4] = [
            (&names::BACKEND_IN_FLIGHT, &|backend| backend.in_flight().into()),
            (&names::BACKEND_PERMITS, &|backend| backend.view().config.max_parallel_requests.into()),
            (&names::BACKEND_HEALTHY, &|backend| backend.view().health.is_healthy().into()),
            (&names::BACKEND_COOLING_DOWN, &|backend| backend.is_cooling_down(now).into()),
        ];
        for (metric, value) in gauges {
            let mut family = Family::begin(encoder, metric)?;
            for backend in &backends {
                family.gauge(&[("backend", backend.id().as_ref())], value(backend))?;
            }
        }
        states(&backends, now, encoder)?;
        counts(&backends, encoder)?;
        distributions(&backends, encoder)
    }
}

fn states(backends: &[Arc<BackendHandle>], now: Instant, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = Family::begin(encoder, &names::BACKEND_STATE)?;
    for backend in backends {
        let state = backend.view().config.state;
        let present = STATES.iter().find(|(known, _)| *known == state).map_or("", |(_, label)| label);
        family.state(("backend", backend.id().as_ref()), STATES.map(|(_, label)| label), present)?;
    }
    let mut family = Family::begin(encoder, &names::BREAKER_STATE)?;
    for backend in backends {
        let name = backend.circuit_name(now);
        let present = CIRCUITS.iter().find(|(known, _)| *known == name).map_or("", |(_, label)| label);
        family.state(("backend", backend.id().as_ref()), CIRCUITS.map(|(_, label)| label), present)?;
    }
    Ok(())
}

fn counts(backends: &[Arc<BackendHandle>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = Family::begin(encoder, &names::BACKEND_ATTEMPTS)?;
    for backend in backends {
        for (outcome, label) in OUTCOMES {
            let labels = [("backend", backend.id().as_ref()), ("outcome", label)];
            family.count(&labels, backend.finished(outcome))?;
        }
    }
    let mut family = Family::begin(encoder, &names::BREAKER_OPENED)?;
    for backend in backends {
        family.count(&[("backend", backend.id().as_ref())], backend.traffic().opened())?;
    }
    let mut family = Family::begin(encoder, &names::TRANSLATIONS)?;
    for backend in backends {
        for (operation, count) in backend.traffic().translations() {
            let labels = [("backend", backend.id().as_ref()), ("operation", operation.label())];
            family.count(&labels, count)?;
        }
    }
    let mut family = Family::begin(encoder, &names::HEALTH_PROBES)?;
    for backend in backends {
        for (is_success, label) in [(true, "success"), (false, "failure")] {
            let labels = [("backend", backend.id().as_ref()), ("outcome", label)];
            family.count(&labels, backend.traffic().probes(is_success))?;
        }
    }
    Ok(())
}

fn distributions(backends: &[Arc<BackendHandle>], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = Family::begin(encoder, &names::HEALTH_PROBE_DURATION)?;
    for backend in backends {
        family.histogram(&[("backend", backend.id().as_ref())], &backend.traffic().probe_times())?;
    }
    let mut family = Family::begin(encoder, &names::INTER_TOKEN_GAP)?;
    for backend in backends {
        family.histogram(&[("backend", backend.id().as_ref())], &backend.traffic().gaps())?;
    }
    Ok(())
}
