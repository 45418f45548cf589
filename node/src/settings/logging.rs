//! Settings of the log: what is logged, in which form, and where to.

use ollamaflow_protocol::object::validate::{between, non_empty};
use serde::{Deserialize, Serialize};

/// What is logged and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Logging {
    /// Whether anything is logged at all. (The original never consulted it.)
    pub enable: bool,
    /// Syslog servers: each gets everything. Without any, nothing is sent.
    pub servers: Vec<SyslogServer>,
    /// Directory of log files, made if it is missing; empty for the working directory.
    pub log_directory: String,
    /// Name of log files, to which the date is added; empty for no file.
    pub log_filename: String,
    /// How many days' files are kept, today's included; 0 for all.
    #[serde(deserialize_with = "between::<0, 36_500, _, _>")]
    pub retention_days: u16,
    /// The form of a line, on the console, in the file and in the message of a datagram.
    pub format: LogFormat,
    /// Whether each request that has ended gets a line, of severity 1.
    pub access_log: bool,
    /// Whether to log to the console.
    pub console_logging: bool,
    /// Whether console output is coloured when it goes to a terminal.
    pub enable_colors: bool,
    /// Least severity that is logged: 0 debug, 1 info, 2 warning, 3 error; 4 to 6 as 3; 7 nothing.
    #[serde(deserialize_with = "between::<0, 7, _, _>")]
    pub minimum_severity: u8,
    /// Log each command to the replicated state, of severity 0: its kind, never its content.
    pub log_queries: bool,
    /// Log what became of each command, of severity 0.
    pub log_results: bool,
}

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum LogFormat {
    /// For people: time, severity, room, message, and then names and values.
    #[default]
    Text,
    /// One JSON object.
    Json,
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
    /// Whether to send from a random port of the range below; else from one that the system chooses.
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
            retention_days: 14,
            format: LogFormat::Text,
            access_log: true,
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
