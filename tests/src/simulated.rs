//! The simulated backend: an inference server on the loopback interface that speaks Ollama's and `OpenAI`'s HTTP APIs,
//! takes as long and says what its [`Knobs`] tell, and breaks on command in the ways its [`Fault`]s name.
//!
//! It is written directly on a TCP socket rather than on a web framework, because the point is to control each byte and
//! each way a connection can end. What a request travels through, top down:
//!
//! `server` (listener) → `connection` (keep-alive loop) → `request` (reading) → `router` → the handlers in `ollama`,
//! `openai`, `echo` → `exchange` (writing, where faults are applied). `scheduler` and `library` stand for the engine:
//! parallel slots, loading and evicting, installed models and their blobs; `registry` is what they are pulled from. `control` is the `/__sim/` API, `handle` the in-process one.

mod answer;
mod config;
mod connection;
mod control;
mod demand;
mod echo;
mod embedding;
mod exchange;
mod fault;
mod fault_book;
mod generation;
mod handle;
mod inference;
mod knobs;
mod library;
mod link;
mod ollama;
mod openai;
mod operation;
mod payload;
mod prompt;
mod record;
mod registry;
mod request;
mod router;
mod scheduler;
mod server;
mod state;
mod stats;
mod text;

pub use config::{ApiFormat, SimConfig};
pub use fault::{
    EndBy, Fault, FaultKind, GZIP_BODY, GZIP_BODY_DECODED, OpenConnections, SplitUnit, probe_paths,
};
pub use handle::SimulatedBackend;
pub use knobs::{BodyFraming, Knobs, StreamFraming, TextSource, ToolCall};
pub use library::{ModelSpec, StoredBlob, sha256};
pub use operation::Operation;
pub use record::{ReceivedFraming, ReceivedRequest};
pub use registry::{PullFault, Registry};
pub use scheduler::LoadedModel;
pub use stats::{OperationStats, PullStats, Stats};
pub use text::WORDS;
