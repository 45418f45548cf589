//! Runs the soak; see `scripts/soak`. Ends with a failure when anything was violated.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ollamaflow_tests::soak::{Plan, run, say};

/// A great many requests under every kind of fault, each counted at both ends.
#[derive(Debug, Parser)]
struct Arguments {
    /// Few requests: shows that everything works.
    #[arg(long)]
    quick: bool,
    /// Requests after the warm-up.
    #[arg(long, conflicts_with = "quick")]
    requests: Option<u64>,
    /// Clients at once.
    #[arg(long, default_value_t = 500)]
    clients: u64,
    /// Seed of all dice.
    #[arg(long, default_value_t = 20_260_821)]
    seed: u64,
    /// The longest the measured part may take, in seconds.
    #[arg(long, default_value_t = 360)]
    limit_s: u64,
}

/// Requests of a whole run.
const WHOLE: u64 = 100_000;

/// Requests of a quick one.
const QUICK: u64 = 5_000;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let requests = if arguments.quick { QUICK } else { arguments.requests.unwrap_or(WHOLE) };
    let plan = Plan {
        requests,
        clients: arguments.clients,
        seed: arguments.seed,
        limit: Duration::from_secs(arguments.limit_s),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            say(&format!("soak: no runtime: {e}"));
            return ExitCode::FAILURE;
        }
    };
    let violations = runtime.block_on(run(plan));
    if violations.is_empty() {
        say("soak: nothing was violated");
        return ExitCode::SUCCESS;
    }
    for violation in &violations {
        say(&format!("VIOLATION: {violation}"));
    }
    ExitCode::FAILURE
}
