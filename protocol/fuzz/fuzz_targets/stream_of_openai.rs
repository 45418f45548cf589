//! Translates arbitrary bytes as a stream of a backend for every client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ollamaflow_protocol::object::ApiFormat;

#[path = "../rules.rs"]
mod rules;

fuzz_target!(|entry: &[u8]| rules::stream(ApiFormat::OpenAI, entry));
