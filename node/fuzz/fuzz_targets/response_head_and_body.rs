//! Feeds arbitrary bytes to the response decoder: it must not panic, must stay within its bounds, and must understand
//! them in the same way however they are split.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../src/upstream"]
mod upstream {
    pub(crate) mod decode;
    pub(crate) mod decode_property;
}

fuzz_target!(|entry: &[u8]| upstream::decode_property::check_entry(entry));
