//! What clients ask and backends answer in the benchmark of translation: conversations of any size with one tool, and
//! answers of a thousand chunks, a token each.

use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::wire::{StreamFormat, Usage};
use serde_json::{Value, json};

/// Sizes of the requests, in bytes; a message more or less.
pub(super) const SIZES: [usize; 3] = [1024, 16 * 1024, 256 * 1024];
/// Chunks of a backend's stream.
pub(super) const CHUNKS: usize = 1000;
/// What every stream counts.
pub(super) const USAGE: Usage = Usage { prompt: Some(1234), completion: Some(996) };

/// An API of clients.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) operation: Operation,
    pub(super) format: StreamFormat,
    /// The backends whose own streams have its format.
    pub(super) spoken_by: Option<ApiFormat>,
}

pub(super) const CLIENTS: [Client; 4] = [
    Client {
        name: "Ollama chat",
        operation: Operation::OllamaChat,
        format: StreamFormat::OllamaGeneration,
        spoken_by: Some(ApiFormat::Ollama),
    },
    Client {
        name: "OpenAI chat",
        operation: Operation::OpenAiChat,
        format: StreamFormat::OpenAiChunks,
        spoken_by: Some(ApiFormat::OpenAI),
    },
    Client {
        name: "OpenAI Responses",
        operation: Operation::OpenAiResponses,
        format: StreamFormat::OpenAiResponses,
        spoken_by: None,
    },
    Client {
        name: "Anthropic Messages",
        operation: Operation::AnthropicMessages,
        format: StreamFormat::AnthropicMessages,
        spoken_by: None,
    },
];

const SYSTEM: &str = "You help with databases. Answer briefly.";
const TURN: &str = "Compare \"B-trees\" and LSM trees for a load of many writes.\nWhich of them keeps the tail of reads short, and \
                    what does that cost on disk? Two or three sentences, with an example, are enough.";

/// The name of a backend's API.
pub(super) fn name(backend: ApiFormat) -> &'static str {
    match backend {
        ApiFormat::Ollama => "Ollama",
        _ => "OpenAI chat",
    }
}

/// A streamed chat of about `size` bytes, and of one message at least.
pub(super) fn request(operation: Operation, size: usize) -> Vec<u8> {
    let with = |turns| with_turns(operation, turns).to_string().into_bytes();
    let (one, three) = (with(1), with(3));
    let pairs = size.saturating_sub(one.len()) / (three.len() - one.len());
    with(1 + 2 * pairs)
}

/// `turns` is odd: the user has the last word.
fn with_turns(operation: Operation, turns: usize) -> Value {
    let turn =
        |number| json!({ "role": if number % 2 == 0 { "user" } else { "assistant" }, "content": TURN });
    let turns = (0..turns).map(turn);
    let schema = json!({ "type": "object", "required": ["sql"],
        "properties": { "sql": { "type": "string", "description": "One statement." } } });
    let tool = json!({ "name": "query", "description": "Asks the database." });
    let with_schema = |key: &str| {
        let mut tool = tool.clone();
        tool[key] = schema.clone();
        tool
    };
    let with_system = || {
        [json!({ "role": "system", "content": SYSTEM })].into_iter().chain(turns.clone()).collect::<Value>()
    };
    let function = || json!([{ "type": "function", "function": with_schema("parameters") }]);
    match operation {
        Operation::OllamaChat => json!({ "model": "llama3.2:3b", "messages": with_system(), "stream": true,
            "options": { "temperature": 0.7, "num_predict": 512 }, "tools": function() }),
        Operation::OpenAiResponses => {
            let mut tool = with_schema("parameters");
            tool["type"] = json!("function");
            json!({ "model": "llama3.2:3b", "instructions": SYSTEM, "input": turns.collect::<Value>(), "stream": true,
                "temperature": 0.7, "max_output_tokens": 512, "tools": [tool] })
        }
        Operation::AnthropicMessages => json!({ "model": "llama3.2:3b", "system": SYSTEM,
            "messages": turns.collect::<Value>(), "stream": true, "temperature": 0.7, "max_tokens": 512,
            "tools": [with_schema("input_schema")] }),
        _ => json!({ "model": "llama3.2:3b", "messages": with_system(), "stream": true,
            "stream_options": { "include_usage": true }, "temperature": 0.7, "max_tokens": 512, "tools": function() }),
    }
}

/// The chunks of a backend's answer, as the engines write them.
pub(super) fn stream(backend: ApiFormat) -> Vec<Vec<u8>> {
    if backend == ApiFormat::Ollama { ollama_stream() } else { openai_stream() }
}

fn ollama_stream() -> Vec<Vec<u8>> {
    let object = |rest: &str| {
        let created = "2026-01-02T03:04:05.123456789Z";
        format!("{{\"model\":\"llama3.2:3b\",\"created_at\":\"{created}\",\"message\":{{\"role\":\"assistant\",{rest}}}\n")
            .into_bytes()
    };
    let last = object(
        "\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":4883583458,\"load_duration\":1334875,\
         \"prompt_eval_count\":1234,\"prompt_eval_duration\":342546000,\"eval_count\":996,\"eval_duration\":4535599000",
    );
    let tokens =
        (1..CHUNKS).map(|number| object(&format!("\"content\":\"{}\"}},\"done\":false", token(number))));
    tokens.chain([last]).collect()
}

fn openai_stream() -> Vec<Vec<u8>> {
    let chunk = |rest: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-5fk2mAeVdXyzHq8rTnL0bGc3\",\"object\":\"chat.completion.chunk\",\"created\":1767323045,\
             \"model\":\"llama3.2:3b\",{rest}}}\n\n"
        )
        .into_bytes()
    };
    let delta = |delta: &str, reason| {
        chunk(&format!("\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\"finish_reason\":{reason}}}]"))
    };
    let usage =
        "\"choices\":[],\"usage\":{\"prompt_tokens\":1234,\"completion_tokens\":996,\"total_tokens\":2230}";
    let tokens = (4..CHUNKS).map(|number| delta(&format!("\"content\":\"{}\"", token(number)), "null"));
    [delta("\"role\":\"assistant\",\"content\":\"\"", "null")]
        .into_iter()
        .chain(tokens)
        .chain([delta("", "\"stop\""), chunk(usage), b"data: [DONE]\n\n".to_vec()])
        .collect()
}

/// One in sixteen begins a line, as in prose.
fn token(number: usize) -> &'static str {
    if number.is_multiple_of(16) { "\\n\\nThen" } else { " tree" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_about_the_size_they_are_to_have() {
        for client in &CLIENTS {
            for size in SIZES {
                let len = request(client.operation, size).len();
                assert!(len.abs_diff(size) < 512, "{}: {len} of {size}", client.name);
            }
        }
    }

    #[test]
    fn streams_have_as_many_chunks_as_they_are_to_have() {
        for backend in [ApiFormat::Ollama, ApiFormat::OpenAI] {
            assert_eq!(stream(backend).len(), CHUNKS);
        }
    }
}
