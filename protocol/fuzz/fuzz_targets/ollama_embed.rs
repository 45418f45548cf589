//! Reads arbitrary bytes as a request and writes it for every backend.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ollamaflow_protocol::route::Operation;

#[path = "../rules.rs"]
mod rules;

fuzz_target!(|entry: &[u8]| rules::request(Operation::OllamaEmbed, entry));
