//! What a backend has sent is with the client before the backend sends more: nothing waits for company.

use bytes::BytesMut;
use ollamaflow_tests::client::{End, Request};

use crate::scripted::{ScriptedBackend, chunk};
use crate::{chat, openai_chat};
use ollamaflow_tests::setup::Setup;

/// Sends `frames` one by one, each only when the client has the one before, then `end`.
async fn one_by_one(request: Request, head: &str, frames: &[Vec<u8>], payload: &[&str], end: &str) {
    let mut backend = ScriptedBackend::start();
    let node = Setup::new().backend(&backend).start().await;
    let asking = tokio::spawn({
        let address = node.addr();
        async move { request.send(address).await }
    });
    let mut conversation = backend.next().await;
    conversation.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n")).await;
    conversation.send(&frames[0]).await;
    let mut response = asking.await.unwrap();
    let mut received = BytesMut::new();
    for (index, expected) in payload.iter().enumerate() {
        if index > 0 {
            conversation.send(&frames[index]).await;
        }
        while received.len() < expected.len() {
            received.extend_from_slice(&response.next_piece().await.expect("the frame arrives").bytes);
        }
        assert_eq!(received.split(), expected.as_bytes(), "frame {index}");
    }
    conversation.send(end).await;
    drop(conversation);
    assert_eq!(response.collect().await.end, End::Complete);
}

const LINES: [&str; 4] = [
    "{\"done\":false,\"n\":1}\n",
    "{\"done\":false,\"n\":2}\n",
    "{\"done\":false,\"n\":3}\n",
    "{\"done\":true}\n",
];
const EVENTS: [&str; 4] =
    ["data: {\"n\":1}\n\n", "data: {\"n\":2}\n\n", "data: {\"n\":3}\n\n", "data: [DONE]\n\n"];

fn plain(frames: &[&str]) -> Vec<Vec<u8>> {
    frames.iter().map(|frame| frame.as_bytes().to_vec()).collect()
}

fn chunks(frames: &[&str]) -> Vec<Vec<u8>> {
    frames.iter().map(chunk).collect()
}

#[tokio::test]
async fn each_ndjson_line_arrives_before_the_next_one_is_sent() {
    let head = "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n";
    one_by_one(chat(true), head, &chunks(&LINES), &LINES, "0\r\n\r\n").await;
}

#[tokio::test]
async fn each_server_sent_event_arrives_before_the_next_one_is_sent() {
    let head = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";
    one_by_one(openai_chat(true), head, &chunks(&EVENTS), &EVENTS, "0\r\n\r\n").await;
}

#[tokio::test]
async fn each_frame_of_a_stream_that_ends_with_the_connection_arrives_before_the_next_one_is_sent() {
    one_by_one(chat(true), "Content-Type: application/x-ndjson\r\n", &plain(&LINES), &LINES, "").await;
    one_by_one(openai_chat(true), "Content-Type: text/event-stream\r\n", &plain(&EVENTS), &EVENTS, "").await;
}

#[tokio::test]
async fn each_part_of_a_body_of_known_length_arrives_before_the_next_one_is_sent() {
    let length: usize = LINES.iter().map(|line| line.len()).sum();
    let head = format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n");
    one_by_one(Request::get("/api/any"), &head, &plain(&LINES), &LINES, "").await;
}

#[tokio::test]
async fn each_part_of_a_stream_of_unknown_kind_arrives_before_the_next_one_is_sent() {
    let head = "Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n";
    one_by_one(Request::get("/v1/any"), head, &chunks(&LINES), &LINES, "0\r\n\r\n").await;
}

#[tokio::test]
async fn a_stream_is_relayed_with_the_clients_framing_and_the_backends_content_type() {
    let mut backend = ScriptedBackend::start();
    let node = Setup::new().backend(&backend).start().await;
    let wire = ["HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n", &LINES.concat()].concat();
    let answer = backend.relays(&node, &chat(true), wire).await;
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!((answer.text(), answer.end), (LINES.concat(), End::Complete));
}
