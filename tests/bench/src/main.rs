//! Benchmark of the gateway against nginx and haproxy: a cheap upstream, a load generator and measurements of the
//! proxies' processes in one binary. `scripts/bench` builds and runs it.
//!
//! `run` → [`suite`] (the order of everything) → [`proxies`] (what is compared), [`load`] (what they are given to do),
//! [`measure`] (what it costs them) → [`samples`] → [`report`]. The [`upstream`] is a process of its own and knows only
//! [`wire`].
//!
//! `peers`, which `scripts/bench-peers` runs, is the same with lines logged about requests, beside
//! [other gateways for language models](peers), with scenarios of its own.
//!
//! `cluster`, which `scripts/bench-cluster` runs, is apart: it starts nodes with the harness of the suites, and measures
//! [writes, elections, restarts and memory](cluster). `routing`, which `scripts/bench-routing` runs, compares
//! [what the policies make of conversations with many models](routing). `translation`, which `scripts/bench-translation`
//! runs, starts nothing: it measures [what translating costs](translation). `models`, which `scripts/bench-models` runs,
//! measures [the merged list of the models of many backends](models). `instructions`, which `scripts/callgrind` runs, counts
//! [what one request costs the node](instructions), and can fail.

mod cli;
mod clock;
mod cluster;
mod instructions;
mod latency;
mod load;
mod measure;
mod models;
mod peers;
mod plan;
mod proxies;
mod report;
mod routing;
mod run;
mod samples;
mod stage;
mod suite;
mod summary;
#[cfg(test)]
mod tests;
mod translation;
mod upstream;
mod wire;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;

use self::cli::{Cli, Command};

fn main() -> ExitCode {
    match start(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            suite::progress(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<(), Box<dyn Error>> {
    // One thread: the upstream and the load generator share a CPU, and neither may depend on how many there are.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    match command {
        Command::Run(args) => local.block_on(&runtime, run::run(&args))?,
        Command::Peers(args) => local.block_on(&runtime, peers::run(&args))?,
        Command::Cluster(args) => local.block_on(&runtime, cluster::run(args))?,
        Command::Routing(args) => local.block_on(&runtime, routing::run(args))?,
        Command::Models(args) => local.block_on(&runtime, models::run(args))?,
        Command::Instructions(args) => local.block_on(&runtime, instructions::run(&args))?,
        Command::Translation(args) => translation::run(args)?,
        Command::Upstream { port } => local.block_on(&runtime, upstream::serve(port))?,
    }
    Ok(())
}
