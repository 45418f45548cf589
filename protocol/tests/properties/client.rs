//! Clients of each API: what they ask, and how they put an answer together.

use ollamaflow_protocol::object::ApiFormat;
use ollamaflow_protocol::route::Operation;
use ollamaflow_protocol::translate::{Request, Translated};
use serde_json::{Value, json};

use crate::OCCASION;
use crate::upstream::Call;

/// A kind of client, and the backend that it gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    client: Operation,
    /// A completion whose prompt must not go through a template.
    is_raw: bool,
    backend: ApiFormat,
}

/// An answer as the client has it in the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Folded {
    pub(crate) content: String,
    pub(crate) thinking: String,
    pub(crate) calls: Vec<Call>,
    pub(crate) reason: Option<String>,
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) completion_tokens: Option<u64>,
}

/// Every kind of client that generates, with every kind of backend.
pub(crate) fn pairs() -> Vec<Pair> {
    let clients = [
        (Operation::OpenAiChat, false),
        (Operation::OpenAiCompletion, false),
        (Operation::AnthropicMessages, false),
        (Operation::OpenAiResponses, false),
    ];
    let both = [ApiFormat::Ollama, ApiFormat::OpenAI];
    let pairs =
        clients.into_iter().flat_map(|(client, is_raw)| both.map(|backend| Pair { client, is_raw, backend }));
    pairs.collect()
}

// === impl Pair ===

impl Pair {
    /// The client's request, as its backend gets it.
    pub(crate) fn ask(self, stream: bool) -> Translated {
        let mut body = json!({ "model": "m", "stream": stream });
        match self.client {
            Operation::OllamaGenerate => {
                body["prompt"] = "hi".into();
                body["raw"] = self.is_raw.into();
            }
            Operation::OpenAiCompletion => body["prompt"] = "hi".into(),
            Operation::OpenAiResponses => body["input"] = "hi".into(),
            _ => body["messages"] = json!([{ "role": "user", "content": "hi" }]),
        }
        match self.client {
            Operation::AnthropicMessages => body["max_tokens"] = 16.into(),
            Operation::OpenAiChat | Operation::OpenAiCompletion => {
                body["stream_options"] = json!({ "include_usage": true });
            }
            _ => {}
        }
        let request = Request::read(self.client, None, body.to_string().as_bytes());
        let request = request.unwrap_or_else(|refused| panic!("{self:?}: {refused}"));
        request.write(self.backend, OCCASION).unwrap_or_else(|refused| panic!("{self:?}: {refused}"))
    }

    /// Whether the client can be told of calls.
    pub(crate) fn has_calls(self) -> bool {
        !matches!(self.client, Operation::OllamaGenerate | Operation::OpenAiCompletion)
    }

    /// Whether the client can be told what the model thinks.
    pub(crate) fn has_thinking(self) -> bool {
        // A plain completion of OpenAI's API has no word for it, neither towards the client nor from the backend.
        self.client != Operation::OpenAiCompletion && !(self.is_raw && self.backend == ApiFormat::OpenAI)
    }

    /// Whether the text of this answer is not, or not all, told, because there are calls: upstream's Responses API.
    pub(crate) fn has_text_or_calls(self, folded: &Folded) -> bool {
        self.client == Operation::OpenAiResponses && !folded.calls.is_empty()
    }

    /// Puts a streamed answer together.
    pub(crate) fn fold(self, stream: &[u8]) -> Folded {
        let mut folded = Folded::default();
        for (event, frame) in frames(self.client, stream) {
            match self.client {
                Operation::OllamaChat | Operation::OllamaGenerate => folded.ollama(&frame),
                Operation::OpenAiChat => folded.openai_chat(&frame, "delta"),
                Operation::OpenAiCompletion => folded.openai_completion(&frame),
                Operation::OpenAiResponses => folded.responses_event(&event, &frame),
                _ => folded.anthropic_event(&event, &frame),
            }
        }
        folded
    }

    /// Reads an answer that is not streamed.
    pub(crate) fn whole(self, body: &[u8]) -> Folded {
        let body = parse(body);
        let mut folded = Folded::default();
        match self.client {
            Operation::OllamaChat | Operation::OllamaGenerate => folded.ollama(&body),
            Operation::OpenAiChat => folded.openai_chat(&body, "message"),
            Operation::OpenAiCompletion => folded.openai_completion(&body),
            Operation::OpenAiResponses => folded.responses(&body),
            _ => folded.anthropic(&body),
        }
        folded
    }
}

// === impl Folded ===

impl Folded {
    fn ollama(&mut self, frame: &Value) {
        let message = frame.get("message").unwrap_or(frame);
        self.content += text(message.get("content").or(frame.get("response")));
        self.thinking += text(message.get("thinking"));
        for call in list(message.get("tool_calls")) {
            self.call(call.get("id"), &call["function"]["name"], call["function"]["arguments"].clone());
        }
        self.end(frame.get("done_reason"), frame, "prompt_eval_count", "eval_count");
    }

    fn openai_chat(&mut self, frame: &Value, message: &str) {
        for choice in list(frame.get("choices")) {
            let message = &choice[message];
            self.content += text(message.get("content"));
            self.thinking += text(message.get("reasoning"));
            for call in list(message.get("tool_calls")) {
                assert_eq!(call["index"], self.calls.len(), "calls are numbered");
                let arguments = text(call["function"].get("arguments"));
                self.call(call.get("id"), &call["function"]["name"], parse(arguments.as_bytes()));
            }
            self.end(choice.get("finish_reason"), &Value::Null, "", "");
        }
        self.end(None, &frame["usage"], "prompt_tokens", "completion_tokens");
    }

    fn openai_completion(&mut self, frame: &Value) {
        for choice in list(frame.get("choices")) {
            self.content += text(choice.get("text"));
            self.end(choice.get("finish_reason"), &Value::Null, "", "");
        }
        self.end(None, &frame["usage"], "prompt_tokens", "completion_tokens");
    }

    fn responses_event(&mut self, event: &str, frame: &Value) {
        assert_eq!(frame["type"], event);
        match event {
            "response.output_text.delta" => self.content += text(frame.get("delta")),
            "response.reasoning_summary_text.delta" => self.thinking += text(frame.get("delta")),
            "response.output_item.done" if frame["item"]["type"] == "function_call" => {
                self.item(&frame["item"]);
            }
            "response.completed" | "response.incomplete" => {
                // The last event repeats everything.
                let mut whole = Self::default();
                whole.responses(&frame["response"]);
                assert_eq!((&whole.content, &whole.calls), (&self.content, &self.calls));
                assert_eq!(whole.thinking, self.thinking);
                *self = whole;
            }
            _ => {}
        }
    }

    fn responses(&mut self, response: &Value) {
        for item in list(response.get("output")) {
            self.item(item);
        }
        self.end(response.get("status"), &response["usage"], "input_tokens", "output_tokens");
    }

    fn item(&mut self, item: &Value) {
        match text(item.get("type")) {
            "message" => list(item.get("content")).for_each(|part| self.content += text(part.get("text"))),
            "reasoning" => list(item.get("summary")).for_each(|part| self.thinking += text(part.get("text"))),
            "function_call" => {
                let arguments = parse(text(item.get("arguments")).as_bytes());
                self.call(item.get("call_id"), &item["name"], arguments);
            }
            other => panic!("{other}"),
        }
    }

    fn anthropic_event(&mut self, event: &str, frame: &Value) {
        assert_eq!(frame["type"], event);
        match event {
            "content_block_start" if frame["content_block"]["type"] == "tool_use" => {
                self.call(frame["content_block"].get("id"), &frame["content_block"]["name"], json!({}));
            }
            "content_block_delta" => match text(frame["delta"].get("type")) {
                "text_delta" => self.content += text(frame["delta"].get("text")),
                "thinking_delta" => self.thinking += text(frame["delta"].get("thinking")),
                "input_json_delta" => {
                    let arguments = parse(text(frame["delta"].get("partial_json")).as_bytes());
                    let Some(call) = self.calls.last_mut() else { panic!("arguments of no call") };
                    call.arguments = arguments.as_object().cloned().unwrap_or_default();
                }
                other => panic!("{other}"),
            },
            "message_delta" => {
                self.end(frame["delta"].get("stop_reason"), &frame["usage"], "input_tokens", "output_tokens");
            }
            _ => {}
        }
    }

    fn anthropic(&mut self, message: &Value) {
        for block in list(message.get("content")) {
            self.content += text(block.get("text"));
            self.thinking += text(block.get("thinking"));
            if block["type"] == "tool_use" {
                self.call(block.get("id"), &block["name"], block["input"].clone());
            }
        }
        self.end(message.get("stop_reason"), &message["usage"], "input_tokens", "output_tokens");
    }

    fn call(&mut self, id: Option<&Value>, name: &Value, arguments: Value) {
        let id = id.and_then(Value::as_str).map(str::to_owned);
        let Value::Object(arguments) = arguments else { panic!("{arguments} is no object") };
        self.calls.push(Call { id, name: text(Some(name)).to_owned(), arguments });
    }

    fn end(&mut self, reason: Option<&Value>, usage: &Value, prompt: &str, completion: &str) {
        let reason = reason.and_then(Value::as_str).map(str::to_owned);
        self.reason = reason.or(self.reason.take());
        self.prompt_tokens = usage[prompt].as_u64().or(self.prompt_tokens);
        self.completion_tokens = usage[completion].as_u64().or(self.completion_tokens);
    }
}

/// The frames of a stream, each with the name of its event.
fn frames(client: Operation, stream: &[u8]) -> Vec<(String, Value)> {
    let stream = std::str::from_utf8(stream).unwrap_or_else(|e| panic!("{e}"));
    if client.format() == ApiFormat::Ollama {
        let lines = stream.strip_suffix('\n').unwrap_or_else(|| panic!("{stream}")).split('\n');
        return lines.map(|line| (String::new(), parse(line.as_bytes()))).collect();
    }
    let stream = stream.strip_suffix("\n\n").unwrap_or_else(|| panic!("{stream}"));
    let stream = match client {
        Operation::OpenAiChat | Operation::OpenAiCompletion => {
            stream.strip_suffix("\n\ndata: [DONE]").unwrap_or_else(|| panic!("{stream}"))
        }
        _ => stream,
    };
    stream.split("\n\n").map(event).collect()
}

fn event(frame: &str) -> (String, Value) {
    let (event, data) = match frame.strip_prefix("event: ").and_then(|frame| frame.split_once('\n')) {
        Some((event, data)) => (event, data),
        None => ("", frame),
    };
    let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("{frame}"));
    (event.to_owned(), parse(data.as_bytes()))
}

fn parse(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_else(|e| panic!("{}: {e}", json.escape_ascii()))
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}
