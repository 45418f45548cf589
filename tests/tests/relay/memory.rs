//! What a node holds for as long as a stream is open.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::setup::Setup;
use serde_json::json;

use crate::scripted::{ScriptedBackend, chunk};

const STREAMS: usize = 100;
const PROMPT_BYTES: usize = 100 * 1024;

/// Less than the prompt, more than a stream takes in a build without optimisation.
const MOST_BYTES: u64 = 64 * 1024;

#[tokio::test]
async fn a_long_prompt_is_not_held_for_the_length_of_its_stream() {
    let mut backend = ScriptedBackend::start();
    let node = Setup::new().backend(&backend).start().await;
    let prompt = "word ".repeat(PROMPT_BYTES / 5);
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": prompt }], "stream": true });
    let line = "{\"message\":{\"content\":\"a\"},\"done\":false}\n";
    let (mut open, mut before) = (Vec::new(), 0);
    for number in 0..=STREAMS {
        let (address, request) = (node.addr(), Request::post("/api/chat").json(&body));
        let asking = tokio::spawn(async move { request.send(address).await });
        let mut conversation = backend.next().await;
        conversation.read_body(PROMPT_BYTES).await;
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
        conversation.send([head.as_bytes(), &chunk(line)].concat()).await;
        let mut response = asking.await.unwrap();
        assert_eq!(response.next_piece().await.expect("the stream begins").bytes, line);
        open.push((conversation, response));
        if number == 0 {
            // What is made once is there.
            before = node.rss_bytes();
        }
    }
    let held = node.rss_bytes().saturating_sub(before) / STREAMS as u64;
    assert!(held < MOST_BYTES, "{} KiB for each stream", held / 1024);
}
