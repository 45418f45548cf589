//! The same request load from `wrk`, as a second opinion: if both agree, the load generator is not what is measured.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::Probe;
use super::request::{self, Api, SMALL_BODY_BYTES};
use crate::summary::as_f64;
use crate::wire::script::Script;

/// What wrk says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Requests per second.
    pub(crate) requests_per_s: f64,
    /// CPU time of the process under test per request, in microseconds.
    pub(crate) cpu_us: f64,
}

/// Runs `wrk` with one thread.
///
/// # Errors
/// wrk cannot be started, or prints no figures.
pub(crate) async fn run(
    addr: SocketAddr,
    api: Api,
    concurrency: usize,
    window: Duration,
    scratch: &Path,
    cpu: Probe<'_>,
) -> io::Result<Outcome> {
    let script_path = scratch.join("post.lua");
    std::fs::write(&script_path, script(&request::chat(api, Script::Answer, SMALL_BODY_BYTES)))?;
    let cpu_before = cpu();
    let output = tokio::process::Command::new("wrk")
        .arg("-t1")
        .arg(format!("-c{concurrency}"))
        .arg(format!("-d{}s", window.as_secs().max(1)))
        .arg("-s")
        .arg(&script_path)
        .arg(format!("http://{addr}/api/chat"))
        .output()
        .await?;
    let cpu_time = cpu().since(cpu_before);
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = parse(&text).ok_or_else(|| io::Error::other(format!("no figures from wrk: {text}")))?;
    Ok(Outcome {
        requests_per_s: figures.requests_per_s,
        cpu_us: as_f64(cpu_time.ran_ns) / 1_000.0 / as_f64(figures.requests.max(1)),
    })
}

#[derive(Debug, PartialEq)]
struct Figures {
    requests: u64,
    requests_per_s: f64,
}

/// wrk's script that sends exactly `request`.
fn script(request: &[u8]) -> String {
    let text =
        String::from_utf8_lossy(request).replace('\\', "\\\\").replace('"', "\\\"").replace("\r\n", "\\r\\n");
    format!("local bytes = \"{text}\"\nrequest = function() return bytes end\n")
}

fn parse(output: &str) -> Option<Figures> {
    let requests =
        output.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.trim().parse().ok())?;
    let requests_per_s =
        output.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok())?;
    Some(Figures { requests, requests_per_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_found_in_what_wrk_prints() {
        let output = "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n  30718 requests in 2.00s, 36.43MB read\nRequests/sec:  15356.12\nTransfer/sec:     18.21MB\n";
        assert_eq!(parse(output), Some(Figures { requests: 30_718, requests_per_s: 15_356.12 }));
        assert_eq!(parse("unable to connect"), None);
    }

    #[test]
    fn the_script_escapes_the_request() {
        assert!(script(b"POST / HTTP/1.1\r\n\r\n{\"a\":1}").contains(r#"POST / HTTP/1.1\r\n\r\n{\"a\":1}"#));
    }
}
