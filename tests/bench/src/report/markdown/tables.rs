//! One table per scenario; an empty text where nothing was measured.

use std::fmt::Write as _;

use super::format::{Table, median, number, rates, spread};
use crate::load::request::SMALL_BODY_BYTES;
use crate::plan::{COUNTING_CONCURRENCY, COUNTING_STREAMS};
use crate::report::Report;
use crate::samples::total;

/// A section unless `is_empty`.
pub(crate) fn section(title: &str, is_empty: bool, body: impl FnOnce() -> String) -> String {
    if is_empty { String::new() } else { format!("## {title}\n\n{}", body()) }
}

/// Small requests.
pub(crate) fn requests(report: &Report) -> String {
    section("Small requests", report.rows.requests.is_empty(), || {
        let mut table = Table::new(&[
            "clients",
            "proxy",
            "requests/s",
            "CPU µs/request",
            "CPU ratio",
            "p50 µs",
            "p99 µs",
            "failed",
        ]);
        for row in &report.rows.requests {
            table.row([
                row.concurrency.to_string(),
                row.target.label().to_owned(),
                median(row.requests_per_s),
                spread(row.cpu_us),
                spread(row.cpu_ratio),
                median(row.p50_us),
                median(row.p99_us),
                row.failed.to_string(),
            ]);
        }
        format!(
            "POST of {SMALL_BODY_BYTES} bytes of JSON, an answer of as many, keep-alive on both sides, {} ms per \
             window.\n\n{table}",
            report.conditions.plan.window_ms
        )
    })
}

/// Streams.
pub(crate) fn streams(report: &Report) -> String {
    section("Streams", report.rows.streams.is_empty(), || {
        let mut cost =
            Table::new(&["proxy", "CPU µs/chunk", "CPU ratio", "first byte p50 µs", "p99 µs", "not whole"]);
        let mut delay = Table::new(&[
            "proxy",
            "delay p50 µs",
            "added p50 µs",
            "to haproxy's",
            "p99 µs",
            "p99.9 µs",
            "20–50 ms late",
        ]);
        for row in &report.rows.streams {
            let label = row.target.label().to_owned();
            cost.row([
                label.clone(),
                spread(row.cpu_us),
                spread(row.cpu_ratio),
                median(row.first_byte_p50_us),
                median(row.first_byte_p99_us),
                row.incomplete.to_string(),
            ]);
            let share = row
                .delayed_share
                .map_or_else(|| "–".to_owned(), |share| format!("{:.2} %", 100.0 * share.median));
            delay.row([
                label,
                median(row.delay_p50_us),
                spread(row.added_p50_us),
                spread(row.added_to_haproxy),
                median(row.delay_p99_us),
                median(row.delay_p999_us),
                share,
            ]);
        }
        let plan = &report.conditions.plan;
        format!(
            "{} streams at the same time × {} chunks, one chunk every {} ms in each.\n\n{cost}\n{delay}",
            plan.streams,
            plan.chunks,
            number(f64::from(plan.interval_us) / 1_000.0)
        )
    })
}

/// Idle streams.
pub(crate) fn idle(report: &Report) -> String {
    section("Idle streams", report.rows.idle.is_empty(), || {
        let mut table = Table::new(&[
            "prompt bytes",
            "proxy",
            "streams",
            "MiB before",
            "KiB per stream",
            "CPU ms/s of all",
        ]);
        for row in &report.rows.idle {
            table.row([
                number(crate::summary::as_f64(row.prompt_bytes as u64)),
                row.target.label().to_owned(),
                row.streams.to_string(),
                median(row.base_rss_mib),
                spread(row.rss_kib_per_stream),
                spread(row.cpu_ms_per_s),
            ]);
        }
        format!(
            "Open streams that got their first chunk and nothing since, on freshly started proxies: growth of the \
             resident memory, and CPU time over {} ms. nginx is configured to keep a prompt in memory; by default it \
             writes a long one to disk.\n\n{table}",
            report.conditions.plan.idle_window_ms
        )
    })
}

/// Misbehaving upstreams.
pub(crate) fn faults(report: &Report) -> String {
    section("Misbehaving upstreams", report.samples.faults.is_empty(), || {
        let mut table = Table::new(&[
            "proxy",
            "truncated streams",
            "reported complete",
            "error in the body",
            "cut",
            "other",
            "stale race: failed",
        ]);
        for sample in &report.samples.faults {
            let truncations = sample.truncations;
            table.row([
                sample.target.label().to_owned(),
                truncations.tried.to_string(),
                truncations.reported_complete.to_string(),
                truncations.error_reported.to_string(),
                truncations.cut.to_string(),
                truncations.other.to_string(),
                format!("{} of {}", sample.stale.failed, sample.stale.tried),
            ]);
        }
        format!(
            "The upstream ends half of the truncated streams (FIN) between two HTTP chunks and half inside one. In the \
             stale keep-alive race it closes the connection 1 ms after each answer while POSTs follow each other after \
             0.4 to 2.2 ms; nginx and haproxy do not repeat a POST unless told to.\n\n{table}"
        )
    })
}

/// System calls and instructions.
pub(crate) fn counts(report: &Report) -> String {
    let samples = &report.samples;
    let is_empty = samples.syscalls.is_empty() && samples.instructions.is_empty();
    section("Deterministic costs", is_empty, || {
        let mut text = format!(
            "Differences of a longer and a shorter run, {COUNTING_CONCURRENCY} clients for requests, {COUNTING_STREAMS} \
             streams for chunks.\n"
        );
        if !samples.syscalls.is_empty() {
            let mut table =
                Table::new(&["proxy", "system calls/request", "of which", "system calls/chunk", "of which"]);
            for sample in &samples.syscalls {
                table.row([
                    sample.target.label().to_owned(),
                    number(total(&sample.per_request)),
                    rates(&sample.per_request),
                    number(total(&sample.per_chunk)),
                    rates(&sample.per_chunk),
                ]);
            }
            let _ = write!(text, "\n{table}");
        }
        if !samples.instructions.is_empty() {
            let mut table = Table::new(&["proxy", "user instructions/request", "user instructions/chunk"]);
            for sample in &samples.instructions {
                table.row([
                    sample.target.label().to_owned(),
                    number(sample.per_request),
                    number(sample.per_chunk),
                ]);
            }
            let _ = write!(text, "\n{table}");
        }
        text
    })
}

/// The cross-check with wrk.
pub(crate) fn wrk(report: &Report) -> String {
    section("Cross-check with wrk", report.rows.wrk.is_empty(), || {
        let mut table = Table::new(&[
            "proxy",
            "requests/s",
            "requests/s by wrk",
            "CPU µs/request",
            "CPU µs/request by wrk",
        ]);
        for row in &report.rows.wrk {
            table.row([
                row.target.label().to_owned(),
                spread(row.requests_per_s),
                spread(row.wrk_requests_per_s),
                spread(row.cpu_us),
                spread(row.wrk_cpu_us),
            ]);
        }
        format!(
            "The same request from this load generator and from wrk, {COUNTING_CONCURRENCY} clients each.\n\n{table}"
        )
    })
}
