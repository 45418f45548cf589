//! The command line as an operator meets it: the real binary against a real node with simulated backends. What is printed,
//! where to, and with which exit code.
//!
//! | file | what it proves |
//! |---|---|
//! | `objects` | `frontends` and `backends`: looking, changing, conflicts, draining |
//! | `explaining` | `frontends explain` |
//! | `models` | `models list, pull, remove, plan, reconcile, roll` |
//! | `trying` | `try`: words as they come, measures, broken answers |
//! | `watching` | `status`, `sessions`, `top`, tables and colours |
//! | `files` | `export` and `apply`, and the user's own file |
//! | `doctor` | what it finds, and what it says is to be done |
//! | `failures` | nodes that are away, wrong tokens, wrong command lines; JSON everywhere |
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic fails the test, which is what is wanted")]

mod doctor;
mod explaining;
mod failures;
mod files;
mod models;
mod objects;
mod program;
mod trying;
mod watching;

use std::ops::Deref;

use ollamaflow_tests::node::Node;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::simulated::{SimConfig, SimulatedBackend};

/// A backend that is well and has the model `m`.
fn engine() -> SimulatedBackend {
    SimulatedBackend::start(SimConfig::ollama(["m"]))
}

/// A node and its backends, which live as long.
struct World {
    node: Node,
    backends: Vec<SimulatedBackend>,
}

impl Deref for World {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// A node with the frontend `f` before the backends `b1`, `b2`...
async fn node_of<const N: usize>(backends: [SimulatedBackend; N]) -> World {
    let node = backends.iter().fold(Setup::new(), Setup::backend).start().await;
    World { node, backends: backends.into() }
}
