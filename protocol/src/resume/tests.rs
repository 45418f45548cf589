//! A client against engines that die: whatever the cuts, it sees the one answer.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::dialect::{Dialect, Frame};
use super::*;
use crate::object::ApiFormat;
use crate::route::Operation;

/// `bytes`, cut at `cuts`.
pub(super) fn pieces<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[from..cut]);
        from = cut;
    }
    pieces
}

/// A deterministic engine: its answer is always `text`, in tokens of `token` characters.
#[derive(Clone, Debug)]
struct Engine {
    text: String,
    token: usize,
    echo: bool,
}

impl Engine {
    /// The stream that answers a request, in the dialect of its path.
    fn answer(&self, dialect: Dialect, body: &Value) -> Vec<u8> {
        let messages = body["messages"].as_array().cloned().unwrap_or_default();
        let told = messages.last().filter(|last| last["role"] == "assistant");
        let told = told.and_then(|last| last["content"].as_str()).unwrap_or_default();
        let left = self.text.strip_prefix(told).expect("the engine is to continue its own words");
        let text = if self.echo { format!("{told}{left}") } else { left.to_owned() };
        let characters: Vec<char> = text.chars().collect();
        let tokens: Vec<String> = characters.chunks(self.token).map(|token| token.iter().collect()).collect();
        let mut frames = Vec::new();
        if dialect == Dialect::Chunks {
            frames.push(chunk(&json!({"role": "assistant", "content": ""}), None));
        }
        frames.extend(tokens.iter().map(|token| match dialect {
            Dialect::Chat => line(&json!({"model": "m", "message": {"content": token}, "done": false})),
            Dialect::Generate => line(&json!({"model": "m", "response": token, "done": false})),
            Dialect::Chunks => chunk(&json!({"content": token}), None),
        }));
        let count = tokens.len();
        frames.push(match dialect {
            Dialect::Chat => {
                line(&json!({"model": "m", "message": {"content": ""}, "done": true, "eval_count": count}))
            }
            Dialect::Generate => {
                line(&json!({"model": "m", "response": "", "done": true, "eval_count": count}))
            }
            Dialect::Chunks => chunk(&json!({}), Some("stop")) + "data: [DONE]\n\n",
        });
        frames.concat().into_bytes()
    }
}

fn line(object: &Value) -> String {
    format!("{object}\n")
}

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    format!("data: {}\n\n", json!({"id": "c", "created": 1, "model": "m", "choices": [choice]}))
}

/// The text of a stream, and how many ends it has.
fn read(dialect: Dialect, stream: &[u8]) -> (String, usize) {
    let (mut text, mut ends) = (String::new(), 0);
    for frame in dialect.framing().frames(stream) {
        match dialect.read(frame) {
            Frame::Object(object) => {
                let facts = dialect.facts(&object).unwrap();
                text.push_str(facts.text);
                ends += usize::from(facts.finished);
            }
            Frame::Filler | Frame::End => {}
            other => panic!("{other:?} in a client's stream"),
        }
    }
    (text, ends)
}

/// One stream through several engines, each of which dies after a share of what it would say, the last does not.
fn play(
    operation: Operation,
    target: ApiFormat,
    request: &Value,
    engines: &[(Engine, usize)],
    cuts: &[usize],
) -> Vec<u8> {
    let dialect = Dialect::of(operation).unwrap();
    let mut transcript = Transcript::begin(operation, Bytes::from(request.to_string())).unwrap();
    let mut client = Vec::new();
    let mut splice: Option<Splice> = None;
    let mut asked = (dialect, request.clone());
    for (index, (engine, dies)) in engines.iter().enumerate() {
        let mut stream = engine.answer(asked.0, &asked.1);
        let is_last = index + 1 == engines.len();
        if !is_last {
            stream.truncate(stream.len() * dies / 100);
        }
        for piece in pieces(&stream, cuts) {
            let piece = Bytes::copy_from_slice(piece);
            let piece = match &mut splice {
                Some(splice) => splice.push(piece),
                None => piece,
            };
            client.extend_from_slice(&transcript.split(piece));
        }
        if is_last {
            assert!(splice.is_none_or(|splice| splice.is_complete() && splice.misfit().is_none()));
            client.extend_from_slice(&transcript.rest());
            break;
        }
        let Some(continuation) = transcript.resumption(target) else {
            assert_eq!(transcript.obstacle(), Some(Obstacle::Finished));
            break;
        };
        let source = if dialect == Dialect::Generate { Dialect::Chat } else { dialect };
        asked = (source, serde_json::from_slice(&continuation.body).unwrap());
        splice = Some(transcript.splice(continuation));
    }
    client
}

/// Numbered words, so that no text repeats itself.
fn any_text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![Just(" "), Just("\n\n"), Just("é, "), Just("\"\\ "), Just("")],
        1..30,
    )
    .prop_map(|gaps| {
        let words: Vec<String> =
            gaps.iter().enumerate().map(|(index, gap)| format!("w{index}{gap}")).collect();
        words.concat()
    })
}

fn any_case() -> impl Strategy<Value = (Operation, ApiFormat, Value)> {
    let messages = json!([{"role": "user", "content": "why?"}]);
    prop_oneof![
        Just((Operation::OllamaChat, ApiFormat::Ollama, json!({"messages": messages}))),
        Just((Operation::OllamaGenerate, ApiFormat::Ollama, json!({"prompt": "why?"}))),
        Just((Operation::OpenAiChat, ApiFormat::Ollama, json!({"messages": messages, "stream": true}))),
        Just((Operation::OpenAiChat, ApiFormat::OpenAI, json!({"messages": messages, "stream": true}))),
    ]
}

fn any_cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0usize..5000, 0..12)
}

proptest! {
    #[test]
    fn the_client_sees_the_uninterrupted_answer_whoever_dies_and_whatever_the_cuts(
        (operation, target, request) in any_case(),
        text in any_text(),
        deaths in proptest::collection::vec((1usize..8, 0usize..100), 1..4),
        cuts in any_cuts(),
    ) {
        let engines: Vec<(Engine, usize)> = deaths
            .into_iter()
            .map(|(token, dies)| (Engine { text: text.clone(), token, echo: false }, dies))
            .collect();
        let dialect = Dialect::of(operation).unwrap();
        let client = play(operation, target, &request, &engines, &cuts);
        let (seen, ends) = read(dialect, &client);
        prop_assert_eq!(&seen, &text);
        prop_assert!(ends == 1, "{} ends", ends);
        let whole = play(operation, target, &request, &engines, &[]);
        prop_assert_eq!(&client, &whole, "the same bytes, whatever the cuts");
    }

    #[test]
    fn an_echo_of_a_long_text_is_never_seen(
        (operation, target, request) in any_case(),
        text in any_text(),
        (token, dies, cuts) in (1usize..8, 0usize..100, any_cuts()),
    ) {
        let text = format!("Numbered words: {text}");
        let first = Engine { text: text.clone(), token: 20, echo: false };
        let second = Engine { text: text.clone(), token, echo: true };
        let client = play(operation, target, &request, &[(first, dies), (second, 100)], &cuts);
        prop_assert_eq!(read(Dialect::of(operation).unwrap(), &client).0, text);
    }

    #[test]
    fn without_resumption_the_client_has_the_backends_bytes(
        (operation, _, request) in any_case(),
        stream in any_stream(),
        cuts in any_cuts(),
    ) {
        let mut transcript = Transcript::begin(operation, Bytes::from(request.to_string())).unwrap();
        let mut client = Vec::new();
        for piece in pieces(&stream, &cuts) {
            client.extend_from_slice(&transcript.split(Bytes::copy_from_slice(piece)));
        }
        client.extend_from_slice(&transcript.rest());
        prop_assert_eq!(client, stream);
    }

    #[test]
    fn no_bytes_of_a_second_backend_panic_and_cuts_do_not_matter(
        (operation, target, request) in any_case(),
        first in any_stream(),
        second in any_stream(),
        cuts in any_cuts(),
    ) {
        let run = |cuts: &[usize]| {
            let mut transcript = Transcript::begin(operation, Bytes::from(request.to_string())).unwrap();
            for piece in pieces(&first, cuts) {
                transcript.split(Bytes::copy_from_slice(piece));
            }
            let continuation = transcript.resumption(target)?;
            let mut splice = transcript.splice(continuation);
            let mut client = Vec::new();
            for piece in pieces(&second, cuts) {
                client.extend_from_slice(&splice.push(Bytes::copy_from_slice(piece)));
            }
            client.extend_from_slice(&splice.finish());
            Some((client, splice.misfit(), splice.is_complete()))
        };
        prop_assert_eq!(run(&cuts), run(&[]));
    }

    #[test]
    fn no_request_panics(request in any_request(), operation in prop_oneof![
        Just(Operation::OllamaChat), Just(Operation::OllamaGenerate), Just(Operation::OpenAiChat), Just(Operation::OllamaTags)
    ]) {
        if let Some(transcript) = Transcript::begin(operation, Bytes::from(request)) {
            for target in [ApiFormat::Ollama, ApiFormat::OpenAI, ApiFormat::Unknown] {
                if let Some(continuation) = transcript.resumption(target) {
                    // Raw: numbers that no float holds pass as they are.
                    prop_assert!(serde_json::from_slice::<&RawValue>(&continuation.body).is_ok());
                }
            }
        }
    }
}

/// Streams of frames that are mostly of the right kind, and some that are not.
fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        "[a-z ]{0,20}"
            .prop_map(|text| json!({"model": "m", "message": {"content": text}, "done": false}).to_string()),
        "[a-z ]{0,20}".prop_map(|text| json!({"response": text, "done": false}).to_string()),
        "[a-z ]{0,20}"
            .prop_map(|text| format!("data: {}\n", json!({"choices": [{"delta": {"content": text}}]}))),
        Just("data: {\"choices\":[{\"delta\":null,\"finish_reason\":\"stop\"}]}\n".to_owned()),
        Just("data: [DONE]\n".to_owned()),
        Just("{\"message\":null,\"done\":true}".to_owned()),
        Just("{\"error\":\"x\"}".to_owned()),
        Just("{\"message\":{\"thinking\":\"x\"}}".to_owned()),
        Just(": comment\n".to_owned()),
        "\\PC{0,10}",
    ];
    let framed = proptest::collection::vec(frame, 0..8)
        .prop_map(|frames| frames.into_iter().flat_map(|frame| (frame + "\n").into_bytes()).collect());
    prop_oneof![9 => framed, 1 => proptest::collection::vec(any::<u8>(), 0..200)]
}

fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just("null"),
        Just("1"),
        Just("1e999"),
        Just("\"text\""),
        Just("[]"),
        Just("{}"),
        Just("true"),
        Just("[{\"role\":\"user\",\"content\":\"a\"}]"),
        Just("[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}]"),
        Just("{\"num_predict\":1e3}"),
    ];
    let name = prop_oneof![
        Just("messages"),
        Just("prompt"),
        Just("stream"),
        Just("options"),
        Just("max_tokens"),
        Just("system"),
        Just("images"),
        Just("n")
    ];
    let object = proptest::collection::vec((name, value), 0..6).prop_map(|members| {
        let members: Vec<String> =
            members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(",")).into_bytes()
    });
    prop_oneof![4 => object, 1 => proptest::collection::vec(any::<u8>(), 0..60)]
}
