//! Whether a streamed answer ended as its protocol says, seen from the bytes that pass by.
//!
//! Status 200 and a clean end prove nothing: Ollama ends a stream whose engine died with a clean chunked
//! terminator, on `/v1` even without an error event. Only the protocol's own end marker does.

use super::usage::{self, Usage};
use super::{ndjson, sse};
use crate::header::media_type;
use crate::route::Operation;

/// The framing and end marker of a streamed answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFormat {
    /// Ollama generate and chat: NDJSON, the last object has `"done": true`.
    OllamaGeneration,
    /// Ollama pull, push and create: NDJSON, the last object has `"status": "success"`.
    OllamaProgress,
    /// OpenAI chat and completions: server-sent events, `data: [DONE]`.
    OpenAiChunks,
    /// OpenAI responses: typed events, the last is `response.completed`, `.failed` or `.incomplete`.
    OpenAiResponses,
    /// Anthropic messages: typed events, the last is `message_stop`.
    AnthropicMessages,
}

/// What the bytes so far say about the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The end marker was seen.
    Complete,
    /// The backend itself reported an error in the stream.
    Failed,
    /// Neither: if the stream stops here, it was cut.
    Missing,
}

/// Watches one streamed answer. Memory is constant, whatever the frames.
#[derive(Clone, Debug)]
pub struct StreamWatch {
    format: StreamFormat,
    lines: Lines,
}

#[derive(Clone, Debug)]
enum Lines {
    Ndjson(ndjson::Watch),
    Sse(sse::Watch, usage::Events),
}

// === impl StreamFormat ===

impl StreamFormat {
    /// The format of an answer, from what was asked and the answer's media type; `None` where there is no known
    /// end marker (not a stream, or a path that we do not know).
    pub fn of(operation: Operation, content_type: &str) -> Option<Self> {
        let media_type = media_type(content_type);
        if media_type.eq_ignore_ascii_case("application/x-ndjson") {
            return match operation {
                Operation::OllamaGenerate | Operation::OllamaChat => Some(Self::OllamaGeneration),
                Operation::OllamaPull | Operation::OllamaPush | Operation::OllamaCreate => {
                    Some(Self::OllamaProgress)
                }
                _ => None,
            };
        }
        if media_type.eq_ignore_ascii_case("text/event-stream") {
            return match operation {
                Operation::OpenAiChat | Operation::OpenAiCompletion => Some(Self::OpenAiChunks),
                Operation::OpenAiResponses => Some(Self::OpenAiResponses),
                Operation::AnthropicMessages => Some(Self::AnthropicMessages),
                _ => None,
            };
        }
        None
    }
}

// === impl StreamWatch ===

impl StreamWatch {
    /// Starts at the first byte of an answer.
    pub fn new(format: StreamFormat) -> Self {
        let lines = match format {
            StreamFormat::OllamaGeneration | StreamFormat::OllamaProgress => {
                Lines::Ndjson(ndjson::Watch::default())
            }
            _ => Lines::Sse(sse::Watch::default(), usage::Events::new(format)),
        };
        Self { format, lines }
    }

    /// The format that is watched.
    pub fn format(&self) -> StreamFormat {
        self.format
    }

    /// Takes the next bytes, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.lines {
            Lines::Ndjson(watch) => watch.push(bytes),
            Lines::Sse(watch, events) => {
                watch.push(bytes, self.format);
                events.push(bytes);
            }
        }
    }

    /// What can be said if the stream ends here.
    pub fn ending(&self) -> Ending {
        match &self.lines {
            Lines::Ndjson(watch) => watch.ending(self.format),
            Lines::Sse(watch, _) => watch.ending(self.format),
        }
    }

    /// The tokens that the backend has counted so far: those of the last object with `"done": true`, or the last ones that
    /// server-sent events named. Only what stands where the API puts it counts, not text that looks like it.
    pub fn usage(&self) -> Usage {
        match &self.lines {
            Lines::Ndjson(watch) => watch.usage(),
            Lines::Sse(_, events) => events.usage(),
        }
    }

    /// Bytes that must come before a frame of our own, so that it starts at a frame boundary.
    pub fn separator(&self) -> &'static str {
        match &self.lines {
            Lines::Ndjson(watch) => watch.separator(),
            Lines::Sse(watch, _) => watch.separator(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn watch(format: StreamFormat, pieces: &[&[u8]]) -> StreamWatch {
        let mut watch = StreamWatch::new(format);
        for piece in pieces {
            watch.push(piece);
        }
        watch
    }

    fn ending(format: StreamFormat, stream: &str) -> Ending {
        let whole = watch(format, &[stream.as_bytes()]).ending();
        for cut in 0..=stream.len() {
            let (left, right) = stream.as_bytes().split_at(cut);
            assert_eq!(watch(format, &[left, right]).ending(), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(watch(format, &bytes).ending(), whole, "byte by byte");
        whole
    }

    #[test]
    fn a_generation_is_complete_when_its_last_object_is_done() {
        use StreamFormat::OllamaGeneration as F;
        let chunk = r#"{"model":"m","message":{"role":"assistant","content":"a"},"done":false}"#;
        for done in [
            r#"{"model":"m","done":true,"context":[1,2]}"#,
            "{\"done\": true}",
            "{ \"x\" : {\"done\":false} , \"done\"\t:\r true }\r",
        ] {
            assert_eq!(ending(F, &format!("{chunk}\n{done}\n")), Ending::Complete, "{done}");
            assert_eq!(ending(F, &format!("{chunk}\n{done}")), Ending::Complete, "{done}, no newline");
        }
        assert_eq!(ending(F, &format!("{chunk}\n")), Ending::Missing);
        assert_eq!(ending(F, &format!("{{\"done\":true}}\n{chunk}\n")), Ending::Missing);
        assert_eq!(ending(F, ""), Ending::Missing);
    }

    #[test]
    fn done_inside_text_or_nested_objects_is_not_the_end() {
        use StreamFormat::OllamaGeneration as F;
        for line in [
            r#"{"message":{"tool_calls":[{"function":{"arguments":{"done":true}}}]},"done":false}"#,
            r#"{"response":"\"done\":true","done":false}"#,
            r#"{"response":"{\"done\":true}\\","done":false}"#,
            r#"{"a":"done","b":true}"#,
            r#"{"adone":true}"#,
            r#"{"done":true"#,
            r#"{"done":tru"#,
        ] {
            assert_eq!(ending(F, line), Ending::Missing, "{line}");
            assert_eq!(ending(F, &format!("{line}\n")), Ending::Missing, "{line} and newline");
        }
    }

    #[test]
    fn an_error_line_is_a_reported_failure() {
        use StreamFormat::{OllamaGeneration, OllamaProgress};
        let stream = "{\"done\":false}\n{\"error\":\"an error was encountered\"}\n";
        assert_eq!(ending(OllamaGeneration, stream), Ending::Failed);
        assert_eq!(ending(OllamaProgress, "{\"error\":\"file does not exist\"}\n"), Ending::Failed);
        assert_eq!(ending(OllamaGeneration, "{\"error\":null,\"done\":true}\n"), Ending::Complete);
    }

    #[test]
    fn a_pull_is_complete_at_success_only() {
        use StreamFormat::OllamaProgress as F;
        assert_eq!(ending(F, "{\"status\":\"pulling manifest\"}\n"), Ending::Missing);
        assert_eq!(
            ending(F, "{\"status\":\"pulling manifest\"}\n{\"status\":\"success\"}\n"),
            Ending::Complete
        );
        assert_eq!(ending(F, "{\"status\":\"success!\"}\n"), Ending::Missing);
        assert_eq!(ending(F, "{\"status\":\"succes\"}\n"), Ending::Missing);
    }

    #[test]
    fn an_openai_stream_is_complete_at_done_only() {
        use StreamFormat::OpenAiChunks as F;
        let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"data: [DONE]\"}}]}\n\n";
        assert_eq!(ending(F, chunk), Ending::Missing);
        for done in ["data: [DONE]\n\n", "data:[DONE]\n\n", "data: [DONE]\r\n\r\n", "data: [DONE]"] {
            assert_eq!(ending(F, &format!("{chunk}{done}")), Ending::Complete, "{done:?}");
        }
        assert_eq!(ending(F, "data: [DONE"), Ending::Missing);
        assert_eq!(ending(F, "data: [DONE]x\n"), Ending::Missing);
        assert_eq!(ending(F, ": comment\n\ndata: {\"error\":{\"message\":\"x\"}}\n\n"), Ending::Failed);
        assert_eq!(ending(F, "data: {\"error\":null,\"id\":1}\n\n"), Ending::Missing);
    }

    #[test]
    fn typed_event_streams_end_at_their_last_event() {
        use StreamFormat::{AnthropicMessages, OpenAiResponses};
        for event in ["completed", "incomplete", "failed"] {
            let stream =
                format!("event: response.created\ndata: {{}}\n\nevent: response.{event}\ndata: {{}}\n\n");
            let expected = if event == "failed" { Ending::Failed } else { Ending::Complete };
            assert_eq!(ending(OpenAiResponses, &stream), expected, "{event}");
        }
        assert_eq!(ending(OpenAiResponses, "event: response.output_text.delta\n"), Ending::Missing);
        assert_eq!(ending(AnthropicMessages, "event: message_stop\ndata: {}\n\n"), Ending::Complete);
        assert_eq!(ending(AnthropicMessages, "event: message_start\ndata: {}\n\n"), Ending::Missing);
        assert_eq!(ending(AnthropicMessages, "event:error\ndata: {}\n\n"), Ending::Failed);
    }

    #[test]
    fn our_own_frame_starts_at_a_frame_boundary() {
        use StreamFormat::{OllamaGeneration, OpenAiChunks};
        let separator = |format, stream: &str| watch(format, &[stream.as_bytes()]).separator();
        assert_eq!(separator(OllamaGeneration, ""), "");
        assert_eq!(separator(OllamaGeneration, "{\"done\":false}\n"), "");
        assert_eq!(separator(OllamaGeneration, "{\"done\":fal"), "\n");
        assert_eq!(separator(OpenAiChunks, "data: {}\n\n"), "");
        assert_eq!(separator(OpenAiChunks, "data: {}\r\n\r\n"), "");
        assert_eq!(separator(OpenAiChunks, "data: {}\n"), "\n");
        assert_eq!(separator(OpenAiChunks, "data: {"), "\n\n");
    }

    #[test]
    fn the_format_follows_operation_and_media_type() {
        let of = StreamFormat::of;
        assert_eq!(
            of(Operation::OllamaChat, "application/x-ndjson; charset=utf-8"),
            Some(StreamFormat::OllamaGeneration)
        );
        assert_eq!(of(Operation::OllamaPull, "application/x-ndjson"), Some(StreamFormat::OllamaProgress));
        assert_eq!(of(Operation::OpenAiChat, "text/event-stream"), Some(StreamFormat::OpenAiChunks));
        assert_eq!(
            of(Operation::AnthropicMessages, "Text/Event-Stream"),
            Some(StreamFormat::AnthropicMessages)
        );
        assert_eq!(of(Operation::OllamaChat, "application/json"), None);
        assert_eq!(of(Operation::OpenAiOther, "text/event-stream"), None);
    }

    proptest! {
        #[test]
        fn any_split_of_any_bytes_gives_the_same_ending(
            bytes in proptest::collection::vec(prop_oneof![
                Just(b'\n'), Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b':'), any::<u8>()
            ], 0..200),
            cuts in proptest::collection::vec(0usize..200, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            for format in [
                StreamFormat::OllamaGeneration, StreamFormat::OllamaProgress, StreamFormat::OpenAiChunks,
                StreamFormat::OpenAiResponses, StreamFormat::AnthropicMessages,
            ] {
                let whole = watch(format, &[&bytes]);
                let mut split = StreamWatch::new(format);
                let mut from = 0;
                for &cut in &cuts {
                    split.push(&bytes[from..cut]);
                    from = cut;
                }
                split.push(&bytes[from..]);
                prop_assert_eq!(whole.ending(), split.ending());
                prop_assert_eq!(whole.separator(), split.separator());
                prop_assert_eq!(whole.usage(), split.usage());
            }
        }
    }
}
