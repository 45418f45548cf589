//! Writes `POST /v1/chat/completions`.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::Said;
use super::openai::{ResponseFormat, Sampling, Streaming, given};
use super::openai_calls::Calls;
use crate::translate::chat::{self, Chat, Media, Think};
use crate::translate::media::Kind;
use crate::translate::{Occasion, Refused};

/// A request body.
#[derive(Debug, Serialize)]
struct Body<'c> {
    model: &'c str,
    messages: Vec<Message<'c>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tools: &'c [Box<RawValue>],
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<ToolChoice<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'c str>,
    #[serde(flatten)]
    sampling: Sampling<'c>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u64>,
    #[serde(flatten)]
    streaming: Streaming,
}

#[derive(Debug, Serialize)]
struct Message<'c> {
    role: &'c str,
    content: Content<'c>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'c, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'c str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content<'c> {
    Text(&'c str),
    Parts(Vec<Part<'c>>),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'c> {
    Text { text: &'c str },
    ImageUrl { image_url: Image<'c> },
    InputAudio { input_audio: Sound<'c> },
}

#[derive(Debug, Serialize)]
struct Image<'c> {
    url: Url<'c>,
}

/// Where an image is: elsewhere, or in the URL itself.
#[derive(Debug)]
enum Url<'c> {
    Remote(&'c str),
    Data { media_type: &'c str, base64: &'c str },
}

#[derive(Debug, Serialize)]
struct Sound<'c> {
    data: &'c str,
    format: &'c str,
}

#[derive(Debug, Serialize)]
struct ToolCall<'c> {
    id: Cow<'c, str>,
    /// As Ollama writes it (`llm/llama_server.go`).
    index: u32,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'c>,
}

#[derive(Debug, Serialize)]
struct Function<'c> {
    name: &'c str,
    /// An object, as JSON text.
    arguments: String,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ToolChoice<'c> {
    Word(&'static str),
    Named {
        #[serde(rename = "type")]
        kind: &'static str,
        function: FunctionName<'c>,
    },
}

#[derive(Debug, Serialize)]
struct FunctionName<'c> {
    name: &'c str,
}

/// Writes a request body.
pub(in crate::translate) fn write(chat: &Chat, occasion: Occasion) -> Result<Said, Refused> {
    let mut dropped = Vec::new();
    let mut calls = Calls::new(occasion);
    let messages = chat.messages.iter().enumerate();
    let messages = messages.map(|(index, message)| Message::of(index, message, &mut calls));
    let has_tools = !chat.tools.is_empty();
    let logprobs = chat.logprobs.filter(|wanted| *wanted);
    let body = Body {
        model: &chat.model,
        messages: messages.collect::<Result<_, _>>()?,
        tools: &chat.tools,
        tool_choice: ToolChoice::of(&chat.tool_choice, has_tools),
        // Next to no tools this one is an error.
        parallel_tool_calls: chat.parallel_tool_calls.filter(|_| has_tools),
        response_format: ResponseFormat::of(&chat.format),
        reasoning_effort: chat.think.as_ref().and_then(effort),
        sampling: Sampling::of(&chat.options, &mut dropped)?,
        logprobs,
        // Ollama gives one at least (`llm/llama_server.go`).
        top_logprobs: logprobs.map(|_| chat.top_logprobs.unwrap_or_default().max(1)),
        streaming: Streaming::of(chat.stream),
    };
    dropped.extend(given(&[
        ("thinking", chat.messages.iter().any(|message| !message.thinking.is_empty())),
        ("keep_alive", chat.keep_alive.is_some()),
        ("truncate", chat.truncate.is_some()),
        ("shift", chat.shift.is_some()),
    ]));
    Said::of(&body, dropped)
}

/// How hard the model thinks; `None` leaves it to the backend, where models that think do so by default. There is no word
/// above `high` that every backend takes.
fn effort(think: &Think) -> Option<&str> {
    match think {
        Think::Off => Some("none"),
        Think::On => None,
        Think::Level(level) if level == "max" => Some("high"),
        Think::Level(level) => Some(level),
    }
}

// === impl Message ===

impl<'c> Message<'c> {
    fn of(index: usize, message: &'c chat::Message, calls: &mut Calls<'c>) -> Result<Self, Refused> {
        let is_result = message.role == "tool";
        let mut made = 0;
        let tool_call = |call: &'c chat::ToolCall| {
            let place = call.place(&mut made);
            ToolCall::of(calls.make(index, call), place, call)
        };
        Ok(Self {
            role: &message.role,
            content: Content::of(message),
            tool_calls: message.tool_calls.iter().map(tool_call).collect(),
            tool_call_id: if is_result { Some(calls.answer(index, message)?) } else { None },
            name: message.tool_name.as_deref().filter(|_| is_result),
        })
    }
}

// === impl Content ===

impl<'c> Content<'c> {
    fn of(message: &'c chat::Message) -> Self {
        if message.media.is_empty() {
            return Self::Text(&message.content);
        }
        let text = Some(&message.content).filter(|text| !text.is_empty()).map(|text| Part::Text { text });
        Self::Parts(text.into_iter().chain(message.media.iter().map(Part::of)).collect())
    }
}

// === impl Part ===

impl<'c> Part<'c> {
    fn of(media: &'c Media) -> Self {
        match media {
            Media::Remote { url, .. } => Self::ImageUrl { image_url: Image { url: Url::Remote(url) } },
            Media::Inline { base64, media_type } => match Kind::of(base64, media_type.as_deref()) {
                Kind::Image(media_type) => {
                    Self::ImageUrl { image_url: Image { url: Url::Data { media_type, base64 } } }
                }
                Kind::Sound(format) => Self::InputAudio { input_audio: Sound { data: base64, format } },
            },
        }
    }
}

impl Serialize for Url<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Remote(url) => serializer.serialize_str(url),
            // Files are large: this one is not copied before it is written.
            Self::Data { media_type, base64 } => {
                serializer.collect_str(&format_args!("data:{media_type};base64,{base64}"))
            }
        }
    }
}

// === impl ToolCall ===

impl<'c> ToolCall<'c> {
    fn of(id: Cow<'c, str>, index: u32, call: &'c chat::ToolCall) -> Self {
        // Values with string keys are always JSON.
        let arguments = serde_json::to_string(&call.arguments).unwrap_or_default();
        Self { id, index, kind: "function", function: Function { name: &call.name, arguments } }
    }
}

// === impl ToolChoice ===

impl<'c> ToolChoice<'c> {
    /// What goes without saying is not said; next to no tools, `none` is an error.
    fn of(choice: &'c chat::ToolChoice, has_tools: bool) -> Option<Self> {
        match choice {
            chat::ToolChoice::Auto => None,
            chat::ToolChoice::None => has_tools.then_some(Self::Word("none")),
            chat::ToolChoice::Required => Some(Self::Word("required")),
            chat::ToolChoice::Named(name) => {
                Some(Self::Named { kind: "function", function: FunctionName { name } })
            }
        }
    }
}

#[cfg(test)]
mod tests;
