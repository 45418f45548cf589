//! The corpora of the fuzz targets, replayed: what fuzzing started from and what it has found.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic fails the test")]

use std::fs;
use std::path::Path;

use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate::frames::Framing;

#[path = "../fuzz/rules.rs"]
mod rules;

fn replay(target: &str, rule: impl Fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut entries = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        rule(&fs::read(entry.unwrap().path()).unwrap());
        entries += 1;
    }
    assert!(entries > 0, "no seeds in {}", corpus.display());
}

#[test]
fn frames_are_cut_in_one_way() {
    replay("sse", |entry| rules::frames(Framing::Events, entry));
    replay("ndjson", |entry| rules::frames(Framing::Lines, entry));
}

#[test]
fn requests_are_written_whole_or_refused() {
    for (target, operation) in [
        ("ollama_chat", Operation::OllamaChat),
        ("ollama_generate", Operation::OllamaGenerate),
        ("ollama_embed", Operation::OllamaEmbed),
        ("openai_chat", Operation::OpenAiChat),
        ("openai_completion", Operation::OpenAiCompletion),
        ("openai_embeddings", Operation::OpenAiEmbeddings),
        ("responses", Operation::OpenAiResponses),
        ("anthropic", Operation::AnthropicMessages),
    ] {
        replay(target, |entry| rules::request(operation, entry));
    }
}

#[test]
fn streams_mean_the_same_however_they_are_cut() {
    replay("stream_of_ollama", |entry| rules::stream(ApiFormat::Ollama, entry));
    replay("stream_of_openai", |entry| rules::stream(ApiFormat::OpenAI, entry));
}
