//! What the black-box suites of `OllamaFlow` are made of.
//!
//! * [`simulated`]: an inference server that behaves like Ollama or an `OpenAI`-compatible engine and fails on command;
//! * [`node`]: starts the real binary, with a settings file made of [`objects`];
//! * [`cluster`]: several nodes that form a cluster, and a network between them that can be cut;
//! * [`client`]: an HTTP/1.1 client which shows exactly what came over the wire, and how it ended;
//! * [`wait`]: waiting for a condition, never for luck;
//! * [`postman`]: a Postman collection out of an `OpenAPI` document, as `scripts/postman` writes it;
//! * [`soak`]: a great many requests under every kind of fault, each counted at both ends.
//!
//! Nothing here knows the product's code: suites see it as its users do, over sockets, files and signals.

pub mod client;
pub mod cluster;
pub mod node;
pub mod objects;
pub mod postman;
pub mod setup;
pub mod simulated;
pub mod soak;
pub mod wait;

mod chunked;
