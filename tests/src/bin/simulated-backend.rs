//! A simulated backend on the command line, for demonstrations, for the compose cluster and for tests in other languages.
//! Everything can be changed while it runs, through `/__sim/` on the same port or on `--control-listen`.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use ollamaflow_tests::simulated::{ApiFormat, Fault, Knobs, ModelSpec, SimConfig, SimulatedBackend};

/// An inference server that behaves like Ollama or an OpenAI-compatible engine, and fails on command.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where to listen; port 0 lets the OS choose.
    #[arg(long, default_value = "127.0.0.1:11434")]
    listen: SocketAddr,
    /// A second listener for `/__sim/` alone, which stays up while the main one refuses.
    #[arg(long)]
    control_listen: Option<SocketAddr>,
    /// Which API to serve.
    #[arg(long, value_enum, default_value_t)]
    format: ApiFormat,
    /// An installed model, with its bytes if they matter; may come several times.
    #[arg(long = "model", value_name = "NAME[=BYTES]", default_value = "simulated", value_parser = model)]
    models: Vec<ModelSpec>,
    /// A fault in JSON, such as `{"kind":"reset_after","frames":3,"probability":0.1}`; may come several times.
    #[arg(long = "fault", value_name = "JSON", value_parser = fault)]
    faults: Vec<Fault>,
    /// Seed of the dice for faults with a probability.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    #[command(flatten)]
    knobs: Knobs,
}

fn model(text: &str) -> Result<ModelSpec, std::num::ParseIntError> {
    let Some((name, size)) = text.rsplit_once('=') else { return Ok(ModelSpec::named(text)) };
    Ok(ModelSpec { size: size.parse()?, ..ModelSpec::named(name) })
}

fn fault(text: &str) -> Result<Fault, serde_json::Error> {
    serde_json::from_str(text)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = SimConfig {
        listen: arguments.listen,
        control_listen: arguments.control_listen,
        format: arguments.format,
        models: arguments.models,
        knobs: arguments.knobs,
        faults: arguments.faults,
        seed: arguments.seed,
        ..SimConfig::default()
    };
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            // Nothing is left to report to when this fails too.
            drop(writeln!(std::io::stderr(), "simulated backend: {e}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs until a signal to end.
fn run(config: SimConfig) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let backend = SimulatedBackend::try_start(config)?;
        writeln!(std::io::stdout(), "simulated backend listening on {}", backend.url())?;
        if let Some(control) = backend.control_address() {
            writeln!(std::io::stdout(), "control listening on http://{control}")?;
        }
        tokio::select! {
            _ = terminated.recv() => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted,
        }
    })
}
