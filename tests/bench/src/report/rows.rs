//! From samples to table rows: the median over the repetitions of each figure, and of its ratio to the mean of nginx and
//! haproxy in the same repetition. Pure; knows nothing of how a row is shown.

mod idle;
mod requests;
mod streams;
mod wrk;

use std::collections::BTreeSet;

pub(crate) use self::idle::IdleRow;
pub(crate) use self::requests::RequestRow;
pub(crate) use self::streams::StreamRow;
pub(crate) use self::wrk::WrkRow;
use crate::proxies::Target;
use crate::samples::{RequestSample, Sample, Samples};
use crate::summary::{ByRep, Quartiles, reference};

/// All rows.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Rows {
    pub(crate) requests: Vec<RequestRow>,
    pub(crate) streams: Vec<StreamRow>,
    pub(crate) idle: Vec<IdleRow>,
    pub(crate) wrk: Vec<WrkRow>,
}

/// The samples of one row.
struct Selection<'a, S>(Vec<&'a S>);

/// The targets in `samples`, each once, in table order.
fn targets<S: Sample>(samples: &[S]) -> BTreeSet<Target> {
    samples.iter().map(Sample::target).collect()
}

/// Per repetition, the mean of nginx and haproxy (of the one, if only one was measured).
fn reference_of<S: Sample>(samples: &[S], figures: impl Fn(Target) -> ByRep) -> ByRep {
    let each: Vec<ByRep> =
        targets(samples).into_iter().filter(|target| target.is_reference()).map(figures).collect();
    reference(&each.iter().collect::<Vec<_>>())
}

// === impl Rows ===

impl Rows {
    /// Of small requests alone.
    pub(crate) fn of_requests(samples: &[RequestSample]) -> Vec<RequestRow> {
        requests::rows(samples)
    }

    /// Summarises `samples`.
    pub(crate) fn of(samples: &Samples) -> Self {
        Self {
            requests: requests::rows(&samples.requests),
            streams: streams::rows(&samples.streams),
            idle: idle::rows(&samples.idle),
            wrk: wrk::rows(&samples.wrk),
        }
    }
}

// === impl Selection ===

impl<'a, S: Sample> Selection<'a, S> {
    /// The samples for which `belongs` holds.
    fn of(samples: &'a [S], belongs: impl Fn(&S) -> bool) -> Self {
        Self(samples.iter().filter(|sample| belongs(sample)).collect())
    }

    /// One figure of each repetition.
    fn by_rep(&self, figure: impl Fn(&S) -> f64) -> ByRep {
        self.0.iter().map(|sample| (sample.rep(), figure(sample))).collect()
    }

    /// The same for a figure that not every sample has.
    fn by_rep_if_any(&self, figure: impl Fn(&S) -> Option<f64>) -> ByRep {
        self.0.iter().filter_map(|sample| Some((sample.rep(), figure(sample)?))).collect()
    }

    /// Median and quartiles over the repetitions.
    fn quartiles(&self, figure: impl Fn(&S) -> f64) -> Option<Quartiles> {
        Quartiles::of(&self.by_rep(figure))
    }
}
