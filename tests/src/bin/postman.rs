//! Reads an `OpenAPI` document from standard input and writes a Postman collection to standard output: what
//! `scripts/postman` is made of.

use std::io::{self, Read as _, Write as _};

use ollamaflow_tests::postman::collection;

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let document = serde_json::from_str(&text)?;
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &collection(&document))?;
    writeln!(out)?;
    out.flush()
}
