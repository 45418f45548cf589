//! The canned bytes: heads, documents and chunk frames, built once at the start. A frame is copied and its stamp
//! patched when it is sent, so no answer costs a serialiser.

use crate::wire::stamp::{self, DIGITS, MARK};

/// Bytes of the JSON document that answers a plain request, without its head.
const DOCUMENT_BYTES: usize = 1024;
/// Bytes of text in a chunk of a flood.
const FLOOD_CHUNK_BYTES: usize = 900;

/// Everything the upstream can say.
#[derive(Debug)]
pub(crate) struct Answers {
    documents: [Vec<u8>; 2],
    stream_heads: [&'static [u8]; 2],
    chunks: [Frame; 2],
    flood_chunks: [Frame; 2],
    last_chunks: [Frame; 2],
}

/// The two framings of a streamed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One JSON object a line, as the Ollama API streams.
    Ndjson = 0,
    /// `data:` events, as the `OpenAI` API streams.
    Sse = 1,
}

/// One HTTP chunk with a hole for the stamp.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    stamp_at: usize,
}

/// The answer to a GET, in full.
pub(crate) fn document_for(path: &str) -> Vec<u8> {
    let body = match path {
        "/api/tags" => {
            r#"{"models":[{"name":"bench","model":"bench","modified_at":"2026-01-01T00:00:00Z","size":1,"digest":"00","details":{"format":"gguf","family":"bench","families":["bench"],"parameter_size":"1B","quantization_level":"Q4_0"}}]}"#
        }
        "/api/ps" => {
            r#"{"models":[{"name":"bench","model":"bench","size":1,"digest":"00","expires_at":"2099-01-01T00:00:00Z","size_vram":1}]}"#
        }
        "/api/version" => r#"{"version":"0.12.0"}"#,
        "/v1/models" => {
            r#"{"object":"list","data":[{"id":"bench","object":"model","created":1,"owned_by":"bench"}]}"#
        }
        _ => return sized("200 OK", "text/plain; charset=utf-8", "Ollama is running"),
    };
    sized("200 OK", "application/json; charset=utf-8", body)
}

/// The refusal of a request that this server cannot read, which ends the connection.
pub(crate) fn refusal(reason: &str) -> Vec<u8> {
    sized("400 Bad Request", "text/plain; charset=utf-8", reason)
}

fn sized(status: &str, content_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn ollama_document() -> String {
    filled(
        r#"{"model":"bench","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":""#,
        r#""},"done":true,"done_reason":"stop","total_duration":1,"load_duration":1,"prompt_eval_count":1,"prompt_eval_duration":1,"eval_count":1,"eval_duration":1}"#,
    )
}

fn openai_document() -> String {
    filled(
        r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,"message":{"role":"assistant","content":""#,
        r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#,
    )
}

/// [`DOCUMENT_BYTES`] of JSON with words between `head` and `tail`.
fn filled(head: &str, tail: &str) -> String {
    let room = DOCUMENT_BYTES.saturating_sub(head.len() + tail.len());
    format!("{head}{}{tail}", words(room))
}

fn words(bytes: usize) -> String {
    "word ".chars().cycle().take(bytes).collect()
}

// === impl Answers ===

impl Answers {
    /// Builds all answers.
    pub(crate) fn new() -> Self {
        let json = |body: &str| sized("200 OK", "application/json; charset=utf-8", body);
        let text = words(FLOOD_CHUNK_BYTES);
        Self {
            documents: [json(&ollama_document()), json(&openai_document())],
            stream_heads: [
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n",
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            ],
            chunks: [
                Frame::new(
                    r#"{"model":"bench","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"@ word"},"done":false}"#,
                    "\n",
                    "",
                ),
                Frame::new(
                    r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{"index":0,"delta":{"content":"@ word"},"finish_reason":null}]}"#,
                    "\n\n",
                    "",
                ),
            ],
            flood_chunks: [
                Frame::new(
                    &format!(
                        r#"{{"model":"bench","created_at":"2026-01-01T00:00:00Z","message":{{"role":"assistant","content":"@ {text}"}},"done":false}}"#
                    ),
                    "\n",
                    "",
                ),
                Frame::new(
                    &format!(
                        r#"data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{{"index":0,"delta":{{"content":"@ {text}"}},"finish_reason":null}}]}}"#
                    ),
                    "\n\n",
                    "",
                ),
            ],
            last_chunks: [
                Frame::new(
                    r#"{"model":"bench","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"@"},"done":true,"done_reason":"stop","total_duration":1,"load_duration":1,"prompt_eval_count":1,"prompt_eval_duration":1,"eval_count":1,"eval_duration":1}"#,
                    "\n",
                    "0\r\n\r\n",
                ),
                Frame::new(
                    r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{"index":0,"delta":{"content":"@"},"finish_reason":"stop"}]}"#,
                    "\n\ndata: [DONE]\n\n",
                    "0\r\n\r\n",
                ),
            ],
        }
    }

    /// Head and body of a plain answer.
    pub(crate) fn document(&self, framing: Framing) -> &[u8] {
        &self.documents[framing as usize]
    }

    /// A large chunk that is not the last.
    pub(crate) fn flood_chunk(&self, framing: Framing) -> &Frame {
        &self.flood_chunks[framing as usize]
    }

    /// The head of a streamed answer.
    pub(crate) fn stream_head(&self, framing: Framing) -> &'static [u8] {
        self.stream_heads[framing as usize]
    }

    /// A chunk that is not the last.
    pub(crate) fn chunk(&self, framing: Framing) -> &Frame {
        &self.chunks[framing as usize]
    }

    /// The chunk that ends the answer, with the end of the HTTP message.
    pub(crate) fn last_chunk(&self, framing: Framing) -> &Frame {
        &self.last_chunks[framing as usize]
    }
}

// === impl Frame ===

impl Frame {
    /// `text` holds one [`MARK`], after which the digits are inserted; `line_end` closes the line inside the chunk,
    /// `after` follows the chunk.
    fn new(text: &str, line_end: &str, after: &str) -> Self {
        let mark = memchr::memchr(MARK, text.as_bytes()).map_or(text.len(), |at| at + 1);
        let data = format!("{}{}{}{line_end}", &text[..mark], "0".repeat(DIGITS), &text[mark..]);
        let head = format!("{:x}\r\n", data.len());
        Self { stamp_at: head.len() + mark, bytes: format!("{head}{data}\r\n{after}").into_bytes() }
    }

    /// Appends the frame, stamped with `ns`, to `out`.
    pub(crate) fn append(&self, ns: u64, out: &mut Vec<u8>) {
        let start = out.len() + self.stamp_at;
        out.extend_from_slice(&self.bytes);
        if let Some(digits) = out[start..].first_chunk_mut::<DIGITS>() {
            stamp::write(ns, digits);
        }
    }

    /// Bytes of the frame.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_answer_has_the_length_it_says() {
        let answers = Answers::new();
        for framing in [Framing::Ndjson, Framing::Sse] {
            let text = String::from_utf8(answers.document(framing).to_vec()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {DOCUMENT_BYTES}")), "{head}");
            assert_eq!(body.len(), DOCUMENT_BYTES);
            assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
        }
    }

    #[test]
    fn a_frame_is_one_http_chunk_of_stamped_json() {
        let answers = Answers::new();
        let mut out = b"before".to_vec();
        answers.chunk(Framing::Ndjson).append(0x2a, &mut out);
        let text = String::from_utf8(out[6..].to_vec()).unwrap();
        let (size, rest) = text.split_once("\r\n").unwrap();
        let data = &rest[..usize::from_str_radix(size, 16).unwrap()];
        assert_eq!(&rest[data.len()..], "\r\n");
        assert_eq!(stamp::read(data.as_bytes()), Some(0x2a));
        assert!(serde_json::from_str::<serde_json::Value>(data).is_ok());
    }

    #[test]
    fn the_last_frame_ends_the_message() {
        let answers = Answers::new();
        for framing in [Framing::Ndjson, Framing::Sse] {
            let mut out = Vec::new();
            answers.last_chunk(framing).append(7, &mut out);
            assert_eq!(out.len(), answers.last_chunk(framing).len());
            assert!(out.ends_with(b"\r\n0\r\n\r\n"));
            assert_eq!(stamp::read(&out), Some(7));
        }
    }
}
