//! Answers that break off where no error frame can be put: the connection is cut, and no client takes the part for the
//! whole. And streams that break in the middle of a frame.

use ollamaflow_tests::client::{Collected, End, Request};
use ollamaflow_tests::node::Node;
use serde_json::Value;

use crate::chat;
use crate::openai_chat;
use crate::scripted::{ScriptedBackend, chunk};
use ollamaflow_tests::setup::{Setup, wait_idle};

async fn one() -> (ScriptedBackend, Node) {
    let backend = ScriptedBackend::start();
    let node = Setup::new().frontend("StreamIdleTimeoutMs", 300).backend(&backend).start().await;
    (backend, node)
}

/// The beginning of a stream that has content: before it, another backend would be asked.
const LINE: &str = "{\"message\":{\"content\":\"a\"},\"done\":false}\n";
const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

/// How a backend leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Fin,
    Reset,
    /// Not at all.
    Silence,
}

const LEAVES: [Leave; 3] = [Leave::Fin, Leave::Reset, Leave::Silence];

/// What a client gets when the backend sends this head and body, and leaves when the client has `received` bytes.
async fn cut(request: Request, head: &str, body: &[u8], received: usize, leave: Leave) -> Collected {
    let (mut backend, node) = one().await;
    let asking = tokio::spawn({
        let address = node.addr();
        async move { request.send(address).await }
    });
    let mut conversation = backend.next().await;
    conversation.send([format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(), body].concat()).await;
    let mut response = asking.await.unwrap();
    let mut start = Vec::new();
    while start.len() < received {
        start.extend_from_slice(&response.next_piece().await.expect("the part arrives").bytes);
    }
    let silent = match leave {
        Leave::Fin => {
            drop(conversation);
            None
        }
        Leave::Reset => {
            conversation.reset();
            None
        }
        Leave::Silence => Some(conversation),
    };
    let mut rest = response.collect().await;
    rest.body = [start.as_slice(), &rest.body].concat().into();
    if let Some(mut conversation) = silent {
        conversation.gone().await;
    }
    wait_idle(&node).await;
    rest
}

#[tokio::test]
async fn a_body_shorter_than_its_length_is_cut_and_never_complete() {
    for leave in LEAVES {
        for request in [chat(false), openai_chat(false), Request::get("/api/any")] {
            let head = "Content-Type: application/json\r\nContent-Length: 100\r\n";
            let answer = cut(request, head, b"{\"part\":", 8, leave).await;
            assert_eq!((answer.status(), answer.text().as_str()), (200, "{\"part\":"), "{leave:?}");
            assert_eq!(answer.header("content-length"), Some("100"));
            assert_ne!(answer.end, End::Complete, "{leave:?}");
        }
    }
}

#[tokio::test]
async fn a_chunked_body_without_its_end_is_cut_and_never_complete() {
    let unfinished = [
        chunk("{\"part\":"),
        b"10\r\n{\"part\":".to_vec(),
        [chunk("{\"part\":").as_slice(), b"5"].concat(),
        [chunk("{\"part\":").as_slice(), b"0\r\n"].concat(),
        [chunk("{\"part\":").as_slice(), b"0\r\nX-Checksum: a"].concat(),
    ];
    for leave in LEAVES {
        for body in &unfinished {
            let head = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
            let answer = cut(chat(false), head, body, 8, leave).await;
            assert_eq!(answer.text(), "{\"part\":", "{leave:?}");
            assert_ne!(answer.end, End::Complete, "{leave:?} {:?}", String::from_utf8_lossy(body));
        }
    }
}

#[tokio::test]
async fn a_body_delimited_by_the_close_that_is_reset_or_falls_silent_is_cut() {
    for leave in [Leave::Reset, Leave::Silence] {
        let answer = cut(chat(false), "Content-Type: application/json\r\n", b"{\"part\":", 8, leave).await;
        assert_eq!(answer.text(), "{\"part\":");
        assert_ne!(answer.end, End::Complete, "{leave:?}");
    }
}

#[tokio::test]
async fn a_chunked_body_that_is_malformed_is_cut() {
    for junk in ["zz\r\n", "-1\r\n", "fffffffffffffffff\r\nx", "\r\n", "3\r\nabcd\r\n", "1 1\r\na\r\n"] {
        let body = [chunk("{\"part\":").as_slice(), junk.as_bytes()].concat();
        let head = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
        let answer = cut(chat(false), head, &body, 8, Leave::Silence).await;
        assert!(answer.text().starts_with("{\"part\":"), "{junk:?}: {}", answer.text());
        assert_ne!(answer.end, End::Complete, "{junk:?}");
    }
}

#[tokio::test]
async fn a_compressed_stream_that_breaks_is_cut_since_no_frame_can_be_added() {
    let head =
        "Content-Type: application/x-ndjson\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n";
    for leave in LEAVES {
        let answer = cut(chat(true), head, &chunk(b"\x1f\x8b\x08\x00"), 4, leave).await;
        assert_eq!(answer.body.as_ref(), b"\x1f\x8b\x08\x00", "{leave:?}");
        assert_ne!(answer.end, End::Complete, "{leave:?}");
    }
}

#[tokio::test]
async fn a_stream_of_known_length_that_breaks_is_cut_since_no_frame_can_be_added() {
    let head = "Content-Type: application/x-ndjson\r\nContent-Length: 100\r\n";
    for leave in LEAVES {
        let answer = cut(chat(true), head, LINE.as_bytes(), LINE.len(), leave).await;
        assert_eq!(answer.text(), LINE, "{leave:?}");
        assert_ne!(answer.end, End::Complete, "{leave:?}");
    }
}

#[tokio::test]
async fn an_error_frame_begins_on_a_line_of_its_own_wherever_the_stream_broke() {
    let line = "{\"model\":\"m\",\"done\":false}\n";
    let begun = LINE.len();
    let head = "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n";
    for at in [1, 2, 10, line.len() - 1, line.len()] {
        let sent = format!("{LINE}{}", &line[..at]);
        let answer = cut(chat(true), head, &chunk(&sent), begun + at, Leave::Fin).await;
        let text = answer.text();
        let (part, last) = text.trim_end_matches('\n').rsplit_once('\n').unwrap();
        assert_eq!((part, answer.end), (sent.trim_end_matches('\n'), End::Complete), "{text}");
        let last: Value = serde_json::from_str(last).unwrap();
        assert!(last["error"].is_string(), "{text}");
        assert!(!text.contains("\n\n"), "a blank line breaks clients that parse each line: {text:?}");
    }
}

#[tokio::test]
async fn an_error_event_is_an_event_of_its_own_wherever_the_stream_broke() {
    let event = "data: {\"choices\":[]}\n\n";
    let head = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";
    for at in [1, 5, 6, event.len() - 2, event.len() - 1, event.len()] {
        let sent = format!("{EVENT}{}", &event[..at]);
        let answer = cut(openai_chat(true), head, &chunk(&sent), sent.len(), Leave::Reset).await;
        let text = answer.text();
        assert_eq!(answer.end, End::Complete, "{text}");
        let (part, last) = text.trim_end_matches('\n').rsplit_once("\n\n").unwrap();
        assert_eq!(part, sent.trim_end_matches('\n'), "{text}");
        let last: Value = serde_json::from_str(last.trim_start().strip_prefix("data: ").unwrap()).unwrap();
        assert!(last["error"]["message"].is_string() && !text.contains("[DONE]"), "{text}");
    }
}
