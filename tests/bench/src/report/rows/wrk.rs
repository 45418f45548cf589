//! Rows of the cross-check: the load generator beside wrk, one per target.

use super::{Selection, targets};
use crate::proxies::Target;
use crate::samples::WrkSample;
use crate::summary::Quartiles;

/// Both generators against one target.
#[derive(Debug, serde::Serialize)]
pub(crate) struct WrkRow {
    pub(crate) target: Target,
    pub(crate) requests_per_s: Option<Quartiles>,
    pub(crate) wrk_requests_per_s: Option<Quartiles>,
    pub(crate) cpu_us: Option<Quartiles>,
    pub(crate) wrk_cpu_us: Option<Quartiles>,
}

pub(super) fn rows(samples: &[WrkSample]) -> Vec<WrkRow> {
    let row = |target| {
        let own = Selection::of(samples, |sample| sample.target == target);
        WrkRow {
            target,
            requests_per_s: own.quartiles(|sample| sample.requests_per_s),
            wrk_requests_per_s: own.quartiles(|sample| sample.wrk_requests_per_s),
            cpu_us: own.quartiles(|sample| sample.cpu_us),
            wrk_cpu_us: own.quartiles(|sample| sample.wrk_cpu_us),
        }
    };
    targets(samples).into_iter().map(row).collect()
}
