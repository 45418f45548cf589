//! What must hold for any bytes: nothing panics, what is written is whole JSON, and a stream means the same however it is
//! cut. Shared by the fuzz targets and the test that replays their corpora.
#![allow(dead_code, reason = "each target needs one of them")]

use std::ops::ControlFlow;

use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::time::Timestamp;
use ollamaflow_protocol::translate::frames::{Framing, Reader};
use ollamaflow_protocol::translate::{Answer, Broken, Occasion, Request};
use ollamaflow_protocol::wire::Ending;
use serde_json::{Value, json};

const OCCASION: Occasion = Occasion { now: Timestamp::EPOCH, nonce: 7 };

/// The pieces of an entry: its first byte tells how long they are.
fn pieces(entry: &[u8]) -> (&[u8], impl Iterator<Item = &[u8]>) {
    let (first, bytes) = entry.split_first().unwrap_or((&0, &[]));
    (bytes, bytes.chunks(usize::from(*first % 61) + 1))
}

/// Frames do not depend on how the bytes are cut.
pub fn frames(framing: Framing, entry: &[u8]) {
    let cut = |pieces: &mut dyn Iterator<Item = &[u8]>| -> Result<Vec<(String, Vec<u8>)>, Broken> {
        let (mut reader, mut frames) = (Reader::new(framing), Vec::new());
        let mut each = |frame: ollamaflow_protocol::translate::frames::Frame<'_>| {
            assert!(!frame.data.is_empty());
            frames.push((frame.event.to_owned(), frame.data.to_vec()));
            ControlFlow::Continue(())
        };
        for piece in pieces {
            reader.push(piece, &mut each)?;
        }
        reader.finish(&mut each);
        Ok(frames)
    };
    let (bytes, mut pieces) = pieces(entry);
    assert_eq!(cut(&mut [bytes].into_iter()), cut(&mut pieces));
}

/// What is read can be written or is refused by name, and what is written is whole.
pub fn request(operation: Operation, entry: &[u8]) {
    let Ok(request) = Request::read(operation, Some("m"), entry) else { return };
    for format in [ApiFormat::Ollama, ApiFormat::OpenAI] {
        if !Request::is_translatable(operation, format) {
            continue;
        }
        if let Some(answer) = request.answer_here(format, OCCASION) {
            let _: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
        }
        let Ok(written) = request.write(format, OCCASION) else { continue };
        let _: serde_json::Map<String, Value> =
            serde_json::from_slice(&written.body).expect("a request is an object");
        assert!(written.dropped.is_sorted(), "each name once");
    }
}

/// What the client gets does not depend on how the backend's bytes are cut, and ends in one way.
pub fn stream(format: ApiFormat, entry: &[u8]) {
    for (operation, body) in requests() {
        if !Request::is_translatable(operation, format) {
            continue;
        }
        let request = Request::read(operation, None, body.to_string().as_bytes()).expect("a request of ours");
        let answer = || request.write(format, OCCASION).expect("it can be said").answer;
        let (bytes, pieces) = pieces(entry);
        let whole = translate(answer(), [bytes].into_iter());
        assert_eq!(whole, translate(answer(), pieces), "{operation:?}");
        assert_ne!(whole.1, Ending::Missing, "every stream ends");
        for media_type in ["application/json", "text/event-stream", "application/x-ndjson"] {
            let _ = answer().whole(media_type, bytes, OCCASION.now);
        }
        let _ = answer().error(500, bytes);
    }
}

fn translate<'b>(mut answer: Answer, pieces: impl Iterator<Item = &'b [u8]>) -> (Vec<u8>, Ending) {
    let mut out = Vec::new();
    for piece in pieces {
        answer.push(piece, OCCASION.now, &mut out);
    }
    answer.finish(OCCASION.now, &mut out);
    let length = out.len();
    answer.push(b"{\"done\":true}\n\ndata: [DONE]\n\n", OCCASION.now, &mut out);
    answer.fail("too late", &mut out);
    assert_eq!(out.len(), length, "nothing comes behind the end");
    (out, answer.ending())
}

/// A streamed request of each client.
fn requests() -> [(Operation, Value); 6] {
    let messages = json!([{ "role": "user", "content": "x" }]);
    [
        (Operation::OllamaChat, json!({ "model": "m", "messages": messages })),
        (Operation::OllamaGenerate, json!({ "model": "m", "prompt": "x" })),
        (
            Operation::OpenAiChat,
            json!({ "model": "m", "messages": messages, "stream": true, "stream_options": { "include_usage": true } }),
        ),
        (Operation::OpenAiCompletion, json!({ "model": "m", "prompt": "x", "stream": true })),
        (Operation::OpenAiResponses, json!({ "model": "m", "input": "x", "stream": true })),
        (
            Operation::AnthropicMessages,
            json!({ "model": "m", "max_tokens": 9, "messages": messages, "stream": true }),
        ),
    ]
}
