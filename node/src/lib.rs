//! The OllamaFlow node: a load balancer in front of Ollama and OpenAI-compatible servers.
//!
//! Three one-way streams, and modules that import only what stands above them:
//!
//! * configuration: [`settings`] and [`admin`] -> [`cluster`] -> [`catalog`] -> [`actors`];
//! * a request: listener ([`app`]) -> [`gateway`] -> [`upstream`] -> backend, and its bytes back;
//! * observation: every part -> [`telemetry`].
//!
//! `settings, telemetry, catalog, cluster` -> `upstream` -> `media, actors` -> `models` -> `gateway` -> `admin` -> `app` -> `cli`.

pub mod actors;
pub mod admin;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod description;
pub mod gateway;
pub mod listener;
pub mod media;
pub mod models;
pub mod pem;
pub mod random;
pub mod settings;
pub mod telemetry;
pub mod upstream;
