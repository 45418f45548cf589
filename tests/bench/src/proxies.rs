//! The proxies that are compared: how each is configured and started, and when it is ready. In: where the upstream is
//! and how many workers and CPUs a proxy gets, the same for all; out: an address and a process. Knows nothing of the
//! load.

mod haproxy;
mod nginx;
mod ours;
pub(crate) mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

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
}

/// A command and how to see that it runs.
struct Launch {
    program: PathBuf,
    args: Vec<String>,
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
        }
    }

    /// Whether the target is one of the two that ratios refer to.
    pub(crate) fn is_reference(self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy)
    }

    /// Writes the configuration into `dir`; `None` for [`Target::Direct`], which is no process.
    fn prepare(self, site: &Site, port: u16, dir: &Path) -> std::io::Result<Option<Launch>> {
        let (file, text) = match self {
            Self::Direct => return Ok(None),
            Self::Nginx => ("nginx.conf", nginx::config(site, port, dir)),
            Self::Haproxy => ("haproxy.cfg", haproxy::config(site, port)),
            Self::Ours => ("ollamaflow.json", ours::config(site, port)),
        };
        let path = dir.join(file);
        std::fs::write(&path, text)?;
        let path = path.display().to_string();
        Ok(Some(match self {
            Self::Direct | Self::Nginx => Launch {
                program: "nginx".into(),
                args: ["-e", "stderr", "-p", &dir.display().to_string(), "-c", &path]
                    .map(str::to_owned)
                    .to_vec(),
                announces: Announces::Nothing,
            },
            Self::Haproxy => Launch {
                program: "haproxy".into(),
                args: ["-db", "-f", &path].map(str::to_owned).to_vec(),
                announces: Announces::Nothing,
            },
            Self::Ours => Launch {
                program: site.ours.clone(),
                args: ["serve", "--config", &path].map(str::to_owned).to_vec(),
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
    }
}
