//! Settings of the log. Only console output is in this version; see the list of inert settings.

use ollamaflow_protocol::object::validate::{between, non_empty};
use serde::{Deserialize, Serialize};

/// What is logged and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Logging {
    /// The original's master switch, which it never consulted.
    pub enable: bool,
    /// Syslog servers.
    pub servers: Vec<SyslogServer>,
    /// Directory of log files.
    pub log_directory: String,
    /// Name of log files.
    pub log_filename: String,
    /// Whether to log to the console.
    pub console_logging: bool,
    /// Whether console output is coloured when it goes to a terminal.
    pub enable_colors: bool,
    /// Least severity that is logged: 0 debug, 1 info, 2 warning, 3 error; 4 to 6 as 3; 7 nothing.
    #[serde(deserialize_with = "between::<0, 7, _, _>")]
    pub minimum_severity: u8,
    /// Log database statements.
    pub log_queries: bool,
    /// Log results of database statements.
    pub log_results: bool,
}

/// A receiver of syslog datagrams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SyslogServer {
    /// Host name or address.
    #[serde(deserialize_with = "non_empty")]
    pub hostname: String,
    /// UDP port.
    #[serde(deserialize_with = "between::<0, 65535, _, _>")]
    pub port: u16,
    /// Whether to send from a random port.
    pub randomize_ports: bool,
    /// Lowest random port.
    #[serde(deserialize_with = "between::<0, 65535, _, _>")]
    pub minimum_port: u16,
    /// Highest random port.
    #[serde(deserialize_with = "between::<0, 65535, _, _>")]
    pub maximum_port: u16,
}

// === Logging ===

impl Default for Logging {
    fn default() -> Self {
        Self {
            enable: true,
            servers: vec![SyslogServer { randomize_ports: false, ..SyslogServer::default() }],
            log_directory: "./logs/".to_owned(),
            log_filename: "ollamaflow.log".to_owned(),
            console_logging: true,
            enable_colors: true,
            minimum_severity: 1,
            log_queries: false,
            log_results: false,
        }
    }
}

// === SyslogServer ===

impl Default for SyslogServer {
    fn default() -> Self {
        Self {
            hostname: "127.0.0.1".to_owned(),
            port: 514,
            randomize_ports: true,
            minimum_port: 65_000,
            maximum_port: 65_535,
        }
    }
}
