//! A load balancer for people who run their own LLMs: one cluster out of many Ollama and OpenAI-compatible servers. This is
//! the program `ollamaflow` as a library.
//!
//! A [`Node`] runs inside your program, from [`Node::start`] to [`Node::shutdown`]. What it does is said by [`Settings`], made
//! in code or, as the program does it, read from a file by [`settings::load()`].
//!
//! ```
//! use ollamaflow::{Backend, Frontend, Node, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ollama = Backend::new("gpu1".parse()?);
//! ollama.hostname = "192.168.1.20".into();
//! ollama.port = 11434;
//! let mut everyone = Frontend::new("everyone".parse()?);
//! everyone.backends = vec![ollama.identifier.clone()];
//!
//! let mut settings = Settings::default();
//! settings.webserver.port = 0; // the operating system chooses
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! settings.data_directory = directory.join("ollamaflow").display().to_string();
//! settings.frontends.push(everyone);
//! settings.backends.push(ollama);
//!
//! let node = Node::start(settings)?;
//! println!("clients go to http://{}", node.address());
//! node.shutdown()?;
//! # Ok(())
//! # }
//! ```
//!
//! `node/examples/embedded.rs` in the repository carries a request. The version of this library is that of the program; what is
//! not shown here is for the program itself, and may change with any version.

// Three one-way streams, and modules that import only what stands above them:
//
// * configuration: settings and admin -> cluster -> catalog -> actors;
// * a request: listener (app) -> gateway -> upstream -> backend, and its bytes back;
// * observation: every part -> telemetry.
//
// settings, telemetry, catalog, cluster -> keys, upstream -> media, actors -> models -> gateway -> admin -> app -> cli.

#[doc(hidden)]
pub mod actors;
#[doc(hidden)]
pub mod admin;
#[doc(hidden)]
pub mod app;
#[doc(hidden)]
pub mod catalog;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod cluster;
#[doc(hidden)]
pub mod description;
#[doc(hidden)]
pub mod gateway;
#[doc(hidden)]
pub mod keys;
#[doc(hidden)]
pub mod listener;
#[doc(hidden)]
pub mod media;
#[doc(hidden)]
pub mod models;
#[doc(hidden)]
pub mod pem;
#[doc(hidden)]
pub mod random;
pub mod settings;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod upstream;

pub use ollamaflow_protocol::id::{BackendId, FrontendId};
pub use ollamaflow_protocol::object::{ApiFormat, Backend, Frontend, Secret};

pub use self::app::{Node, NodeError};
pub use self::settings::{Settings, SettingsError};
