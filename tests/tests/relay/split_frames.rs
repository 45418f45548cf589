//! Frames that are cut anywhere arrive identical, and what has arrived of a frame is passed on before the rest comes.

use bytes::BytesMut;
use ollamaflow_tests::client::{End, Request, Response};

use crate::scripted::{ScriptedBackend, chunk};
use crate::{chat, openai_chat};
use ollamaflow_tests::setup::Setup;

/// How a frame is cut in two.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Two chunks.
    Chunks,
    /// Two writes of one chunk.
    Writes,
}

const NDJSON_FRAME: &str = "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\\\"}é🙂\\u00e9\\n{\"},\"done\":false}\n";
const NDJSON_END: &str = "{\"model\":\"m\",\"done\":true,\"done_reason\":\"stop\"}\n";

const SSE_FRAME: &str = ": a comment\r\nevent: chunk\r\nid: 7\n\
    data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"[DONE] é🙂\\n\"}}]}\n\n";
const SSE_END: &str = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// Reads from the client's side until `count` bytes are there.
async fn read(response: &mut Response, received: &mut BytesMut, count: usize) {
    while received.len() < count {
        let piece = response.next_piece().await.expect("the stream goes on");
        received.extend_from_slice(&piece.bytes);
    }
}

/// The two parts in which a frame goes over the wire.
fn parts(frame: &[u8], at: usize, cut: Cut) -> (Vec<u8>, Vec<u8>) {
    let (left, right) = frame.split_at(at);
    match cut {
        Cut::Chunks => (chunk(left), chunk(right)),
        Cut::Writes => {
            let size = format!("{:x}\r\n", frame.len());
            ([size.as_bytes(), left].concat(), [right, b"\r\n"].concat())
        }
    }
}

/// One stream with a frame for each place where it can be cut.
async fn at_every_offset(request: Request, content_type: &str, frame: &str, end: &str) {
    let mut backend = ScriptedBackend::start();
    let node = Setup::new().backend(&backend).start().await;
    for cut in [Cut::Chunks, Cut::Writes] {
        let asking = tokio::spawn({
            let (request, address) = (request.clone(), node.addr());
            async move { request.send(address).await }
        });
        let mut conversation = backend.next().await;
        conversation
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
            ))
            .await;
        conversation.chunk(frame).await;
        let mut response = asking.await.unwrap();
        let mut received = BytesMut::new();
        let mut expected = frame.as_bytes().to_vec();
        read(&mut response, &mut received, expected.len()).await;
        for at in 1..frame.len() {
            let (first, second) = parts(frame.as_bytes(), at, cut);
            conversation.send(first).await;
            read(&mut response, &mut received, expected.len() + at).await;
            conversation.send(second).await;
            expected.extend_from_slice(frame.as_bytes());
            read(&mut response, &mut received, expected.len()).await;
            assert!(received == expected, "{cut:?} at {at}: {:?}", String::from_utf8_lossy(&received));
        }
        conversation.chunk(end).await;
        conversation.send("0\r\n\r\n").await;
        let rest = response.collect().await;
        assert_eq!((rest.text().as_str(), rest.end), (end, End::Complete));
    }
}

#[tokio::test]
async fn ndjson_frames_cut_at_every_byte_arrive_identical() {
    at_every_offset(chat(true), "application/x-ndjson", NDJSON_FRAME, NDJSON_END).await;
}

#[tokio::test]
async fn sse_frames_cut_at_every_byte_arrive_identical() {
    at_every_offset(openai_chat(true), "text/event-stream", SSE_FRAME, SSE_END).await;
}
