//! Metrics of the program and of its process, by the names that all programs have them under.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::family::Family;
use super::names;

/// Which program this is.
#[derive(Debug)]
pub(super) struct BuildMetrics;

/// What the system knows of this process. Nothing where there is no `/proc`.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

impl Collector for BuildMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        Family::begin(&mut encoder, &names::BUILD)?.info(&[
            ("version", env!("CARGO_PKG_VERSION")),
            ("revision", env!("OLLAMAFLOW_REVISION")),
            ("rustc", env!("OLLAMAFLOW_RUSTC")),
        ])
    }
}

#[cfg(not(target_os = "linux"))]
impl Collector for ProcessMetrics {
    fn encode(&self, _: DescriptorEncoder<'_>) -> fmt::Result {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
#[expect(clippy::cast_precision_loss, reason = "ticks and seconds are far below 2^53")]
mod linux {
    use std::fmt;

    use procfs::process::{LimitValue, Process};
    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::DescriptorEncoder;

    use super::super::names::{self, Metric};
    use super::{Family, ProcessMetrics};

    impl Collector for ProcessMetrics {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            // What cannot be read is not told: a scrape is worth more than one of its samples.
            let Ok(process) = Process::myself() else { return Ok(()) };
            let encoder = &mut encoder;
            if let Ok(stat) = process.stat() {
                let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
                let cpu = seconds(stat.utime + stat.stime);
                Family::begin(encoder, &names::PROCESS_CPU)?.one_count_of_seconds(cpu)?;
                if let Ok(booted) = procfs::boot_time_secs() {
                    let started = booted as f64 + seconds(stat.starttime);
                    Family::begin(encoder, &names::PROCESS_START)?.one_gauge_of_seconds(started)?;
                }
                gauge(encoder, &names::PROCESS_RESIDENT, stat.rss.saturating_mul(procfs::page_size()))?;
                gauge(encoder, &names::PROCESS_VIRTUAL, stat.vsize)?;
                gauge(encoder, &names::PROCESS_THREADS, stat.num_threads.try_into().unwrap_or_default())?;
            }
            if let Ok(open) = process.fd_count() {
                gauge(encoder, &names::PROCESS_OPEN_FDS, open as u64)?;
            }
            if let Ok(limits) = process.limits()
                && let LimitValue::Value(most) = limits.max_open_files.soft_limit
            {
                gauge(encoder, &names::PROCESS_MAX_FDS, most)?;
            }
            Ok(())
        }
    }

    fn gauge(encoder: &mut DescriptorEncoder<'_>, metric: &Metric, value: u64) -> fmt::Result {
        Family::begin(encoder, metric)?.one_gauge(value)
    }
}
