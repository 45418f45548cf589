//! The two gateways for language models in Rust, `smg` and `vllm-router`, as `PyPI` has them: in round robin (of one), with
//! metrics and with the lines that they log by default. Neither needs a tokenizer for that, nor a network.

use std::io;
use std::path::PathBuf;

use super::process::free_address;
use super::{Announces, Launch, Logs, Site};

/// `smg launch`.
pub(super) fn smg(site: &Site, port: u16, program: PathBuf) -> io::Result<Launch> {
    let mut launch = launch(site, port, program, &["launch"])?;
    // 0: no limit of requests at once. By default it would be 4,096, which no scenario reaches either.
    let more =
        ["--disable-tokenizer-autoload", "--history-backend", "none", "--max-concurrent-requests", "0"];
    launch.args.extend(more.map(str::to_owned));
    Ok(launch)
}

/// `vllm-router`, which looks after a worker that is not there at once only every 30 s unless told otherwise.
pub(super) fn vllm_router(site: &Site, port: u16, program: PathBuf) -> io::Result<Launch> {
    let mut launch = launch(site, port, program, &[])?;
    launch.args.extend(["--worker-startup-check-interval", "1"].map(str::to_owned));
    Ok(launch)
}

/// What both are told, for they have a common ancestor.
fn launch(site: &Site, port: u16, program: PathBuf, first: &[&str]) -> io::Result<Launch> {
    let metrics = free_address()?.port().to_string();
    let (port, upstream) = (port.to_string(), format!("http://{}", site.upstream));
    let level = if site.logs == Logs::Off { "error" } else { "info" };
    let args = [
        ["--host", "127.0.0.1"],
        ["--port", &port],
        ["--worker-urls", &upstream],
        ["--policy", "round_robin"],
        ["--prometheus-port", &metrics],
        ["--log-level", level],
    ];
    let words = first.iter().copied().chain(args.concat()).map(str::to_owned);
    Ok(Launch {
        program,
        args: words.collect(),
        env: vec![("HF_HUB_OFFLINE", "1")],
        announces: Announces::Nothing,
    })
}
