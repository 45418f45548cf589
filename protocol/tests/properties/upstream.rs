//! What backends answer: random answers, and how each API streams them.

use ollamaflow_protocol::route::Operation;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// An answer, part by part.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) parts: Vec<Part>,
    pub(crate) is_cut: bool,
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Content(String),
    Thinking(String),
    Call(Call),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: Option<String>,
    pub(crate) name: String,
    pub(crate) arguments: Map<String, Value>,
}

/// Text that is not easy on those who cut it or escape it.
pub(crate) fn text() -> impl Strategy<Value = String> {
    const HARD: [&str; 12] =
        ["\n\n", "\r", "\"", "\\", "data: ", "é", "\u{2028}", "😀", "\0", "[DONE]", " ", "}"];
    let piece =
        prop_oneof![2 => "\\PC{1,6}", 1 => proptest::sample::select(HARD.to_vec()).prop_map(str::to_owned)];
    vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

/// The arguments of a call.
pub(crate) fn arguments() -> impl Strategy<Value = Map<String, Value>> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9..1e9f64).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    let value = scalar.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec(("[a-z]{1,4}", inner), 0..3).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    vec(("[a-z]{1,6}", value), 0..3).prop_map(|members| members.into_iter().collect())
}

pub(crate) fn script() -> impl Strategy<Value = Script> {
    let call = (proptest::option::weighted(0.8, "call_[a-z0-9]{8}"), "[a-z_]{1,8}", arguments());
    let part = prop_oneof![
        4 => text().prop_map(Part::Content),
        2 => text().prop_map(Part::Thinking),
        1 => call.prop_map(|(id, name, arguments)| Part::Call(Call { id, name, arguments })),
    ];
    (vec(part, 0..7), any::<bool>(), 0..9999u32, 0..9999u32).prop_map(
        |(parts, is_cut, prompt_tokens, completion_tokens)| Script {
            parts,
            is_cut,
            prompt_tokens,
            completion_tokens,
        },
    )
}

// === impl Script ===

impl Script {
    pub(crate) fn without_calls(mut self) -> Self {
        self.parts.retain(|part| !matches!(part, Part::Call(_)));
        self
    }

    pub(crate) fn content(&self) -> String {
        let content = |part: &Part| if let Part::Content(text) = part { text.clone() } else { String::new() };
        self.parts.iter().map(content).collect()
    }

    pub(crate) fn thinking(&self) -> String {
        let thinking =
            |part: &Part| if let Part::Thinking(text) = part { text.clone() } else { String::new() };
        self.parts.iter().map(thinking).collect()
    }

    pub(crate) fn calls(&self) -> Vec<&Call> {
        let calls =
            self.parts.iter().filter_map(|part| if let Part::Call(call) = part { Some(call) } else { None });
        calls.collect()
    }

    /// The stream of a backend that was asked for `operation`. What its API cannot say is not in it.
    pub(crate) fn stream(&self, operation: Operation) -> Vec<u8> {
        match operation {
            Operation::OllamaChat => self.ollama(|part| match part {
                Some(Part::Content(text)) => json!({ "message": { "role": "assistant", "content": text } }),
                Some(Part::Thinking(text)) => {
                    json!({ "message": { "role": "assistant", "content": "", "thinking": text } })
                }
                Some(Part::Call(call)) => {
                    let mut function = json!({ "name": call.name, "arguments": call.arguments });
                    function["index"] = 0.into();
                    let mut call_ = json!({ "function": function });
                    if let Some(id) = &call.id {
                        call_["id"] = id.as_str().into();
                    }
                    json!({ "message": { "role": "assistant", "content": "", "tool_calls": [call_] } })
                }
                None => json!({ "message": { "role": "assistant", "content": "" } }),
            }),
            Operation::OllamaGenerate => self.clone().without_calls().ollama(|part| match part {
                Some(Part::Content(text)) => json!({ "response": text }),
                Some(Part::Thinking(text)) => json!({ "response": "", "thinking": text }),
                _ => json!({ "response": "" }),
            }),
            Operation::OpenAiChat => self.openai_chat(),
            Operation::OpenAiCompletion => self.openai_completion(),
            other => panic!("nobody asks a backend for {other:?}"),
        }
    }

    /// The media type of [`Self::stream`].
    pub(crate) fn media_type(operation: Operation) -> &'static str {
        match operation {
            Operation::OllamaChat | Operation::OllamaGenerate => "application/x-ndjson",
            _ => "text/event-stream",
        }
    }

    fn ollama(&self, line: impl Fn(Option<&Part>) -> Value) -> Vec<u8> {
        let mut out = String::new();
        let parts = self.parts.iter().map(Some).chain([None]);
        for part in parts {
            let mut line = line(part);
            line["model"] = "b".into();
            line["created_at"] = "2026-01-02T03:04:05.123456789Z".into();
            line["done"] = part.is_none().into();
            if part.is_none() {
                line["done_reason"] = if self.is_cut { "length" } else { "stop" }.into();
                line["prompt_eval_count"] = self.prompt_tokens.into();
                line["eval_count"] = self.completion_tokens.into();
                line["total_duration"] = 5_000_000_000u64.into();
            }
            out += &line.to_string();
            out.push('\n');
        }
        out.into_bytes()
    }

    fn openai_chat(&self) -> Vec<u8> {
        let mut deltas = vec![json!({ "role": "assistant", "content": "" })];
        let mut calls = 0;
        for part in &self.parts {
            match part {
                Part::Content(text) => deltas.push(json!({ "content": text })),
                Part::Thinking(text) => deltas.push(json!({ "reasoning_content": text })),
                Part::Call(call) => {
                    deltas.extend(fragments(call, calls));
                    calls += 1;
                }
            }
        }
        let chunk =
            |choices: Value| json!({ "id": "x", "object": "chat.completion.chunk", "choices": choices });
        let mut chunks: Vec<_> = deltas
            .into_iter()
            .map(|delta| chunk(json!([{ "index": 0, "delta": delta, "finish_reason": null }])))
            .collect();
        let reason = match calls {
            _ if self.is_cut => "length",
            0 => "stop",
            _ => "tool_calls",
        };
        chunks.push(chunk(json!([{ "index": 0, "delta": {}, "finish_reason": reason }])));
        let mut usage = chunk(json!([]));
        usage["usage"] = self.openai_usage();
        chunks.push(usage);
        events(&chunks)
    }

    fn openai_completion(&self) -> Vec<u8> {
        let chunk = |choices: Value| json!({ "id": "x", "object": "text_completion", "choices": choices });
        let mut chunks = Vec::new();
        for part in &self.parts {
            if let Part::Content(text) = part {
                chunks.push(chunk(json!([{ "index": 0, "text": text, "finish_reason": null }])));
            }
        }
        let reason = if self.is_cut { "length" } else { "stop" };
        chunks.push(chunk(json!([{ "index": 0, "text": "", "finish_reason": reason }])));
        let mut usage = chunk(json!([]));
        usage["usage"] = self.openai_usage();
        chunks.push(usage);
        events(&chunks)
    }

    fn openai_usage(&self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        })
    }
}

/// A call as deltas: id and name first, then its arguments, a few letters at a time.
fn fragments(call: &Call, index: usize) -> Vec<Value> {
    let mut first = json!({ "index": index, "type": "function", "function": { "name": call.name } });
    if let Some(id) = &call.id {
        first["id"] = id.as_str().into();
    }
    let arguments: Vec<char> = Value::Object(call.arguments.clone()).to_string().chars().collect();
    let rest = arguments.chunks(5).map(
        |letters| json!({ "index": index, "function": { "arguments": letters.iter().collect::<String>() } }),
    );
    [first].into_iter().chain(rest).map(|call| json!({ "tool_calls": [call] })).collect()
}

fn events(chunks: &[Value]) -> Vec<u8> {
    let mut out = String::from(": hello\n\n");
    for chunk in chunks {
        out += "data: ";
        out += &chunk.to_string();
        out += "\n\n";
    }
    out += "data: [DONE]\n\n";
    out.into_bytes()
}
