//! The proxies that are compared: how each is configured and started, and when it is ready. In: where the upstream is
//! and how many workers and CPUs a proxy gets, the same for all; out: an address and a process. Knows nothing of the
//! load.

mod haproxy;
mod litellm;
mod nginx;
mod ours;
pub(crate) mod process;
mod routers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::load::request::Api;

pub(crate) use self::nginx::least_conn;

/// What a request is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Target {
    /// The upstream itself: what the load generator and the upstream cost by themselves.
    Direct,
    /// nginx as a plain reverse proxy.
    Nginx,
    /// haproxy as a plain reverse proxy.
    Haproxy,
    /// `ollamaflow serve`, with routing, health checks and accounting.
    Ours,
    /// `smg`, a gateway for language models in Rust (`tokenspeed-smg` on `PyPI`).
    Smg,
    /// `vllm-router`, another one (`vllm-router` on `PyPI`).
    #[serde(rename = "vllm-router")]
    VllmRouter,
    /// The `LiteLLM` proxy, in Python.
    Litellm,
}

/// Where the lines about requests go, of which every proxy writes one or two for each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Logs {
    /// nginx and haproxy write none; [`Target::Ours`] and the peers do what they do by default.
    Plain,
    /// nginx and haproxy write one to a file; [`Target::Ours`] and the peers do what they do by default, which for
    /// [`Target::Ours`] are three sinks: the console, a file and syslog.
    On,
    /// The same, but [`Target::Ours`] writes to a file only.
    OneSink,
    /// nobody writes any.
    Off,
}

/// What every proxy gets.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// The one upstream.
    pub(crate) upstream: SocketAddr,
    /// Worker processes or threads.
    pub(crate) workers: u16,
    /// Connections a proxy may hold, both sides together; follows from the descriptor limit.
    pub(crate) max_connections: u64,
    /// CPUs the proxy is pinned to, in `taskset`'s notation.
    pub(crate) cpus: Option<String>,
    /// The binary of [`Target::Ours`].
    pub(crate) ours: PathBuf,
    /// The API of the upstream, in which readiness is tried, too.
    pub(crate) api: Api,
    /// What is logged about requests.
    pub(crate) logs: Logs,
    /// The folder of programs from `PyPI`; without it they are looked for on the PATH.
    pub(crate) programs: Option<PathBuf>,
}

/// A command and how to see that it runs.
struct Launch {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(&'static str, &'static str)>,
    announces: Announces,
}

/// How the address of a started proxy is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announces {
    /// It listens on the port it was given.
    Nothing,
    /// It prints [`ours::READY`] and its address on standard output, and reports its backends' health.
    AddressAndHealth,
}

// === impl Target ===

impl Target {
    /// The name in tables.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Ours => "ours",
            Self::Smg => "smg",
            Self::VllmRouter => "vllm-router",
            Self::Litellm => "litellm",
        }
    }

    /// Whether the target is one of the two that ratios refer to.
    pub(crate) fn is_reference(self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy)
    }

    /// Whether it is a proxy for language models that others have made.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::Smg | Self::VllmRouter | Self::Litellm)
    }

    /// How long it may take until it relays.
    pub(crate) fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Litellm => 240,
            Self::Smg | Self::VllmRouter => 60,
            _ => 20,
        })
    }

    /// Writes the configuration into `dir`; `None` for [`Target::Direct`], which is no process.
    fn prepare(self, site: &Site, port: u16, dir: &Path) -> std::io::Result<Option<Launch>> {
        let program =
            |name: &str| site.programs.as_ref().map_or_else(|| name.into(), |folder| folder.join(name));
        let (file, text) = match self {
            Self::Direct => return Ok(None),
            Self::Smg => return Ok(Some(routers::smg(site, port, program("smg"))?)),
            Self::VllmRouter => return Ok(Some(routers::vllm_router(site, port, program("vllm-router"))?)),
            Self::Litellm => ("litellm.yaml", litellm::config(site)),
            Self::Nginx => ("nginx.conf", nginx::config(site, port, dir)),
            Self::Haproxy => ("haproxy.cfg", haproxy::config(site, port)),
            Self::Ours => ("ollamaflow.json", ours::config(site, port)),
        };
        let path = dir.join(file);
        std::fs::write(&path, text)?;
        let path = path.display().to_string();
        Ok(Some(match self {
            Self::Litellm => litellm::launch(site, port, program("litellm"), &path),
            Self::Direct | Self::Smg | Self::VllmRouter | Self::Nginx => Launch {
                program: "nginx".into(),
                args: ["-e", "stderr", "-p", &dir.display().to_string(), "-c", &path]
                    .map(str::to_owned)
                    .to_vec(),
                env: Vec::new(),
                announces: Announces::Nothing,
            },
            Self::Haproxy => Launch {
                program: "haproxy".into(),
                args: ["-db", "-f", &path].map(str::to_owned).to_vec(),
                env: Vec::new(),
                announces: Announces::Nothing,
            },
            Self::Ours => Launch {
                program: site.ours.clone(),
                args: ["serve", "--config", &path].map(str::to_owned).to_vec(),
                env: Vec::new(),
                announces: Announces::AddressAndHealth,
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_proxy_is_told_the_same() {
        let site = Site {
            upstream: SocketAddr::from(([127, 0, 0, 1], 4321)),
            workers: 3,
            max_connections: 9_000,
            cpus: None,
            ours: "ollamaflow".into(),
            api: Api::Openai,
            logs: Logs::On,
            programs: Some("/venv/bin".into()),
        };
        let dir = tempfile::tempdir().unwrap();
        for target in [Target::Nginx, Target::Haproxy, Target::Ours] {
            let launch = target.prepare(&site, 8765, dir.path()).unwrap().unwrap();
            let text = std::fs::read_to_string(launch.args.last().unwrap()).unwrap();
            for value in ["4321", "8765", "3"] {
                assert!(
                    text.contains(value),
                    "{value} is not in the configuration of {}: {text}",
                    target.label()
                );
            }
        }
        assert!(Target::Direct.prepare(&site, 8765, dir.path()).unwrap().is_none());
        for target in [Target::Smg, Target::VllmRouter, Target::Litellm] {
            let launch = target.prepare(&site, 8765, dir.path()).unwrap().unwrap();
            assert!(launch.program.starts_with("/venv/bin"), "{}", launch.program.display());
            assert!(launch.args.iter().any(|word| word == "8765"));
        }
        let text = std::fs::read_to_string(dir.path().join("litellm.yaml")).unwrap();
        assert!(text.contains("http://127.0.0.1:4321/v1"), "{text}");
    }

    #[test]
    fn logs_are_on_for_all_or_for_nobody() {
        let mut site = Site {
            upstream: SocketAddr::from(([127, 0, 0, 1], 4321)),
            workers: 1,
            max_connections: 9_000,
            cpus: None,
            ours: "ollamaflow".into(),
            api: Api::Openai,
            logs: Logs::On,
            programs: None,
        };
        let dir = tempfile::tempdir().unwrap();
        let text = |target: Target, site: &Site| {
            let launch = target.prepare(site, 8765, dir.path()).unwrap().unwrap();
            std::fs::read_to_string(launch.args.last().unwrap()).unwrap()
        };
        assert!(text(Target::Nginx, &site).contains("access.log"));
        assert!(text(Target::Haproxy, &site).contains("option httplog"));
        assert!(!text(Target::Ours, &site).contains("AccessLog"), "it logs by default");
        site.logs = Logs::Off;
        assert!(text(Target::Nginx, &site).contains("access_log off"));
        assert!(!text(Target::Haproxy, &site).contains("httplog"));
        assert!(text(Target::Ours, &site).contains(r#""AccessLog":false"#));
    }
}
