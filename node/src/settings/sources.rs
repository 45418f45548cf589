//! Where settings come from: the file, the environment and the flags, as plain data.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ollamaflow_protocol::object::Secret;
use ollamaflow_protocol::time::Timestamp;
use thiserror::Error;

use crate::clock::now;

/// The settings file when no other is named, relative to the working directory.
pub const DEFAULT_FILE: &str = "./ollamaflow.json";

/// All inputs of [`load`](super::load()). A later layer wins: file, then environment, then flags.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The settings file.
    pub file: PathBuf,
    /// What to do when there is no such file.
    pub missing_file: MissingFile,
    /// Environment variables; those without our prefix are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Command line flags.
    pub flags: Flags,
    /// The time that objects without `CreatedUtc` and `LastUpdateUtc` get.
    pub now: Timestamp,
}

/// What to do without a settings file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingFile {
    /// Write a first one, with a fresh admin token.
    Create,
    /// Go on with the defaults; nothing is written.
    UseDefaults,
    /// Stop with an error.
    Refuse,
}

/// Settings given on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen`: host and port of the listener.
    pub listen: Option<ListenAddress>,
    /// `--data-directory`.
    pub data_directory: Option<String>,
    /// `--otlp-endpoint`.
    pub otlp_endpoint: Option<String>,
    /// `--trusted-proxies`, as they were written.
    pub trusted_proxies: Option<Vec<String>>,
    /// `--shutdown-grace-ms`.
    pub shutdown_grace_ms: Option<u32>,
    /// `--shutdown-settle-ms`.
    pub shutdown_settle_ms: Option<u32>,
    /// The flags of the cluster.
    pub cluster: ClusterFlags,
}

/// Settings of the section `Cluster` given on the command line, as they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterFlags {
    /// `--cluster-listen`.
    pub listen: Option<String>,
    /// `--advertise`.
    pub advertise: Option<String>,
    /// `--peers`.
    pub peers: Option<Vec<String>>,
    /// `--join`.
    pub join: Option<String>,
    /// `--cluster-secret`.
    pub secret: Option<Secret>,
    /// `--cluster-secret-file`.
    pub secret_file: Option<String>,
}

/// An address to listen on, written `host:port`, with IPv6 addresses in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// Name or address, IPv6 without brackets; `*` for every address.
    pub host: String,
    /// TCP port; 0 lets the operating system choose.
    pub port: u16,
}

/// The text is no address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListenAddressError {
    /// There is no port.
    #[error("has no port: write HOST:PORT, for example localhost:43411, *:43411 or [::1]:43411")]
    NoPort,
    /// The port is no number up to 65535.
    #[error("has a port that is not a number from 0 to 65535")]
    Port,
    /// There is no host.
    #[error("has no host: write *:PORT to listen on every address")]
    NoHost,
    /// An IPv6 address without brackets.
    #[error("looks like an IPv6 address: put it in brackets, for example [::1]:43411")]
    Brackets,
}

// === Sources ===

impl Sources {
    /// Sources with the environment of this process and the present time.
    pub fn of_process(file: PathBuf, missing_file: MissingFile, flags: Flags) -> Self {
        Self { file, missing_file, environment: std::env::vars_os().collect(), flags, now: now() }
    }

    /// The file and nothing else: for checking it.
    pub fn of_file(file: PathBuf) -> Self {
        let missing_file = MissingFile::Refuse;
        Self { file, missing_file, environment: Vec::new(), flags: Flags::default(), now: now() }
    }
}

// === ListenAddress ===

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError::NoPort)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(ListenAddressError::NoPort)?,
            None if host.contains(':') => return Err(ListenAddressError::Brackets),
            None => host,
        };
        if host.is_empty() {
            return Err(ListenAddressError::NoHost);
        }
        let port = port.parse().map_err(|_| ListenAddressError::Port)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_split_and_joined() {
        for (text, host, port) in [
            ("localhost:43411", "localhost", 43_411),
            ("[::1]:43411", "::1", 43_411),
            ("[::]:0", "::", 0),
            ("*:80", "*", 80),
            ("127.0.0.1:65535", "127.0.0.1", 65_535),
        ] {
            let address: ListenAddress = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn other_texts_say_how_to_write_it() {
        for (text, error) in [
            ("localhost", ListenAddressError::NoPort),
            ("[::1]", ListenAddressError::NoPort),
            ("::1:43411", ListenAddressError::Brackets),
            (":43411", ListenAddressError::NoHost),
            ("[]:43411", ListenAddressError::NoHost),
            ("localhost:65536", ListenAddressError::Port),
            ("localhost:", ListenAddressError::Port),
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(error), "{text}");
        }
    }
}
