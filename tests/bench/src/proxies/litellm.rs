//! The `LiteLLM` proxy with one model, one worker, no database and no key. It goes nowhere on the network but to the upstream:
//! no telemetry, and prices of models from its own package.

use std::path::PathBuf;

use super::{Announces, Launch, Site};

/// The text of its configuration.
pub(super) fn config(site: &Site) -> String {
    format!(
        "model_list:
  - model_name: bench
    litellm_params:
      model: openai/bench
      api_base: http://{}/v1
      api_key: none
litellm_settings:
  telemetry: false
",
        site.upstream
    )
}

/// How it is started.
pub(super) fn launch(site: &Site, port: u16, program: PathBuf, config: &str) -> Launch {
    let (port, workers) = (port.to_string(), site.workers.to_string());
    let args = [
        ["--host", "127.0.0.1"],
        ["--port", &port],
        ["--num_workers", &workers],
        ["--telemetry", "False"],
        ["--config", config],
    ];
    Launch {
        program,
        args: args.concat().into_iter().map(str::to_owned).collect(),
        env: vec![
            ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
            ("HF_HUB_OFFLINE", "1"),
            // It listens on the loopback only, and is spared the work of checking a key as all others are.
            ("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "true"),
        ],
        announces: Announces::Nothing,
    }
}
