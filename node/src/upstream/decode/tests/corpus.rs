//! The seed corpus of the fuzz target, replayed.

use std::fs;
use std::path::Path;

use super::super::super::decode_property::check_entry;

#[test]
fn the_fuzz_corpus_breaks_no_rule() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/response_head_and_body");
    let mut entries = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        check_entry(&fs::read(entry.unwrap().path()).unwrap());
        entries += 1;
    }
    assert!(entries > 0, "no seeds in {}", corpus.display());
}
