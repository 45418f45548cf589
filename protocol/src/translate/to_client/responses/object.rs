//! The response object: what is repeated of the request, and what came of it.

use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::Echo;
use super::items::{Item, View};
use crate::time::Timestamp;
use crate::translate::piece::Done;
use crate::translate::to_client::openai::seconds;
use crate::wire::Usage;

/// A response. All members are always there, in the order in which Ollama streams them; those that ask for something
/// that is not done here have the value that says so.
#[derive(Debug, Serialize)]
pub(super) struct Response<'a> {
    background: bool,
    completed_at: Option<i64>,
    created_at: i64,
    error: Option<Failure<'a>>,
    frequency_penalty: u8,
    id: &'a str,
    incomplete_details: Option<Incomplete>,
    instructions: Option<&'a str>,
    max_output_tokens: Option<u64>,
    max_tool_calls: Option<u64>,
    metadata: &'a Map<String, Value>,
    model: &'a str,
    object: &'static str,
    output: Vec<View<'a>>,
    parallel_tool_calls: bool,
    presence_penalty: u8,
    previous_response_id: Option<&'a str>,
    prompt_cache_key: Option<&'a str>,
    reasoning: Option<&'a Reasoning>,
    safety_identifier: Option<&'a str>,
    service_tier: &'static str,
    status: &'static str,
    store: bool,
    temperature: Number,
    text: Text<'a>,
    tool_choice: &'static str,
    tools: &'a [Value],
    top_logprobs: u8,
    top_p: Number,
    truncation: &'a str,
    usage: Option<Counts>,
}

/// How hard the model was to think, and whether its thoughts were to be summed up.
#[derive(Clone, Debug, Serialize)]
pub(in crate::translate) struct Reasoning {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::translate) effort: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::translate) summary: Option<String>,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Format<'a> {
    AsAsked(&'a Value),
    Default { r#type: &'static str },
}

/// Counts of tokens; zero where the backend gave none, since the client's SDK has to have a number.
#[derive(Debug, Serialize)]
struct Counts {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Debug, Serialize)]
struct InputDetails {
    cached_tokens: u64,
}

#[derive(Debug, Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

// === impl Response ===

impl<'a> Response<'a> {
    /// A response in progress.
    pub(super) fn new(id: &'a str, echo: &'a Echo, created: Timestamp, output: &'a [Item]) -> Self {
        let one = || Number::from(1);
        Self {
            background: false,
            completed_at: None,
            created_at: seconds(created),
            error: None,
            frequency_penalty: 0,
            id,
            incomplete_details: None,
            instructions: echo.instructions.as_deref(),
            max_output_tokens: echo.max_output_tokens,
            max_tool_calls: echo.max_tool_calls,
            metadata: &echo.metadata,
            model: &echo.model,
            object: "response",
            output: output.iter().map(Item::view).collect(),
            parallel_tool_calls: true,
            presence_penalty: 0,
            previous_response_id: None,
            prompt_cache_key: echo.prompt_cache_key.as_deref(),
            reasoning: echo.reasoning.as_ref(),
            safety_identifier: echo.safety_identifier.as_deref(),
            service_tier: "default",
            status: "in_progress",
            store: false,
            temperature: echo.temperature.clone().unwrap_or_else(one),
            text: Text { format: Format::of(echo) },
            tool_choice: "auto",
            tools: &echo.tools,
            top_logprobs: 0,
            top_p: echo.top_p.clone().unwrap_or_else(one),
            truncation: echo.truncation.as_deref().unwrap_or("disabled"),
            usage: None,
        }
    }

    /// Ends the response; the name of the event that says so. Upstream calls every end a completion, even that of an
    /// answer that was cut by its limit.
    pub(super) fn end(&mut self, done: &Done, now: Timestamp) -> &'static str {
        self.completed_at = Some(seconds(now));
        self.usage = Some(Counts::of(done.usage));
        let reason = match done.reason.as_deref() {
            Some("length") => "max_output_tokens",
            Some("content_filter") => "content_filter",
            _ => {
                self.status = "completed";
                return "response.completed";
            }
        };
        self.incomplete_details = Some(Incomplete { reason });
        self.status = "incomplete";
        "response.incomplete"
    }

    /// Ends the response by an error.
    pub(super) fn fail(&mut self, message: &'a str) {
        self.error = Some(Failure { code: "server_error", message });
        self.status = "failed";
    }
}

// === impl Format ===

impl<'a> Format<'a> {
    fn of(echo: &'a Echo) -> Self {
        match &echo.text_format {
            Some(format) => Self::AsAsked(format),
            None => Self::Default { r#type: "text" },
        }
    }
}

// === impl Counts ===

impl Counts {
    fn of(usage: Usage) -> Self {
        let input_tokens = usage.prompt.unwrap_or_default();
        let output_tokens = usage.completion.unwrap_or_default();
        Self {
            input_tokens,
            input_tokens_details: InputDetails { cached_tokens: 0 },
            output_tokens,
            output_tokens_details: OutputDetails { reasoning_tokens: 0 },
            total_tokens: input_tokens.saturating_add(output_tokens),
        }
    }
}
