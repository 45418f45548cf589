//! Cuts arbitrary bytes into frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ollamaflow_protocol::translate::frames::Framing;

#[path = "../rules.rs"]
mod rules;

fuzz_target!(|entry: &[u8]| rules::frames(Framing::Lines, entry));
