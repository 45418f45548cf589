//! Whether everything that was asked for came: a proxy that loses requests or parts of answers is cheap, and its figures
//! are worth nothing. Pure.

use super::order::Extra;
use super::plan::PeersPlan;
use crate::proxies::Target;
use crate::samples::{RequestSample, Samples};

/// Something that did not come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) target: Target,
    /// What, and how much of it.
    pub(super) what: String,
}

/// Everything that is missing, one entry for each target and scenario.
pub(super) fn losses(samples: &Samples, extra: &Extra, plan: &PeersPlan) -> Vec<Loss> {
    let targets = [
        Target::Direct,
        Target::Nginx,
        Target::Haproxy,
        Target::Ours,
        Target::Smg,
        Target::VllmRouter,
        Target::Litellm,
    ];
    let mut losses = Vec::new();
    for target in targets {
        let mut note = |what: &str, missing: u64, all: u64| {
            if missing > 0 {
                losses.push(Loss { target, what: format!("{missing} of {all} {what}") });
            }
        };
        let requests = samples.requests.iter().chain(&extra.one_sink).chain(&extra.no_logs);
        let requests: Vec<&RequestSample> = requests.filter(|sample| sample.target == target).collect();
        let failed = requests.iter().map(|sample| sample.failed).sum();
        let done: u64 = requests.iter().map(|sample| sample.completed).sum();
        note("requests without a whole answer", failed, failed + done);
        let idle_windows = requests.iter().filter(|sample| sample.completed == 0).count() as u64;
        note("windows without a request", idle_windows, requests.len() as u64);

        let streams: Vec<_> = samples.streams.iter().filter(|sample| sample.target == target).collect();
        let asked = streams.iter().map(|sample| u64::from(sample.streams)).sum::<u64>();
        let complete = streams.iter().map(|sample| sample.complete).sum();
        note("streams not whole", asked.saturating_sub(complete), asked);

        let wanted = if target == Target::Litellm { &plan.slow } else { &plan.fast }.idle_streams;
        let idle: Vec<_> = samples.idle.iter().filter(|sample| sample.target == target).collect();
        let unopened = idle.iter().map(|sample| wanted.saturating_sub(sample.streams) as u64).sum();
        note("idle streams not opened", unopened, (idle.len() * wanted) as u64);

        let readers: Vec<_> = extra.readers.iter().filter(|sample| sample.target == target).collect();
        let unbegun = readers.iter().map(|sample| plan.readers.readers.saturating_sub(sample.readers) as u64);
        note("unread streams not begun", unbegun.sum(), (readers.len() * plan.readers.readers) as u64);
        let read = readers.iter().map(|sample| sample.read as u64).sum::<u64>();
        let whole = readers.iter().map(|sample| sample.whole as u64).sum();
        note("unread streams not whole when they were read", read.saturating_sub(whole), read);
    }
    losses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{IdleSample, StreamSample};

    fn request(target: Target, completed: u64, failed: u64) -> RequestSample {
        RequestSample { completed, failed, ..RequestSample::example(0, target, None) }
    }

    #[test]
    fn a_run_in_which_everything_came_has_no_losses() {
        let plan = PeersPlan::quick();
        let samples = Samples {
            requests: vec![request(Target::Ours, 100, 0)],
            streams: vec![StreamSample::example(Target::Ours, 10)],
            ..Samples::default()
        };
        assert_eq!(losses(&samples, &Extra::default(), &plan), []);
    }

    #[test]
    fn every_kind_of_loss_is_found_with_its_target() {
        let plan = PeersPlan::quick();
        let idle = IdleSample {
            rep: 0,
            target: Target::Litellm,
            prompt_bytes: 200,
            streams: plan.slow.idle_streams - 1,
            base_rss_kib: 1,
            rss_kib_per_stream: 1.0,
            cpu_ms_per_s: 1.0,
        };
        let reader = crate::samples::SlowSample {
            rep: 0,
            target: Target::Haproxy,
            readers: plan.readers.readers,
            base_rss_kib: 1,
            rss_kib_per_reader: 1.0,
            read: 4,
            whole: 3,
        };
        let samples = Samples {
            requests: vec![request(Target::Ours, 99, 1), request(Target::Nginx, 0, 0)],
            streams: vec![StreamSample::example(Target::Smg, 9)],
            idle: vec![idle],
            ..Samples::default()
        };
        let extra = Extra { readers: vec![reader], ..Extra::default() };
        let found: Vec<_> =
            losses(&samples, &extra, &plan).into_iter().map(|loss| (loss.target, loss.what)).collect();
        let expected = [
            (Target::Nginx, "1 of 1 windows without a request"),
            (Target::Haproxy, "1 of 4 unread streams not whole when they were read"),
            (Target::Ours, "1 of 100 requests without a whole answer"),
            (Target::Smg, "1 of 10 streams not whole"),
            (Target::Litellm, "1 of 10 idle streams not opened"),
        ];
        assert_eq!(found, expected.map(|(target, what)| (target, what.to_owned())));
    }
}
