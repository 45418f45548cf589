//! The `OpenAI` surface, in two flavours: Ollama's compatibility layer and an engine such as vLLM.

mod audio;
mod chat;
mod completions;
mod embeddings;
mod messages;
mod models;
mod responses;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::ErrorStyle;
use super::config::ApiFormat;
use super::generation::Summary;
use super::inference::{Call, Fields, Stop};
use super::operation::Operation;

/// Content type of event streams.
const EVENT_STREAM: &str = "text/event-stream";

/// Which engine's habits are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// No role-only chunk, a system fingerprint, `max_completion_tokens` ignored.
    Ollama,
    /// A role-only chunk first, no fingerprint, `max_completion_tokens` honoured.
    Vllm,
}

impl Flavour {
    fn of(call: &Call<'_, '_>) -> Self {
        if call.shared.format() == ApiFormat::Openai { Self::Vllm } else { Self::Ollama }
    }

    fn error_style(self) -> ErrorStyle {
        match self {
            Self::Ollama => ErrorStyle::OpenAi,
            Self::Vllm => ErrorStyle::Vllm,
        }
    }

    /// The most tokens a request wants.
    fn token_limit(self, fields: &Fields) -> Option<u64> {
        let newer = fields.get("max_completion_tokens").filter(|_| self == Self::Vllm);
        newer.or_else(|| fields.get("max_tokens")).and_then(Value::as_u64)
    }

    /// Adds what an engine puts in each object of an answer.
    fn sign(self, object: &mut Value) {
        if self == Self::Ollama {
            object["system_fingerprint"] = json!("fp_ollama");
        }
    }
}

/// Serves an operation of the `OpenAI` surface; `variable` is the path's variable part.
pub(super) async fn handle(
    call: &mut Call<'_, '_>,
    operation: Operation,
    variable: &str,
) -> Result<(), Stop> {
    match operation {
        Operation::V1Chat => chat::chat(call).await,
        Operation::V1Completions => completions::completions(call).await,
        Operation::V1Embeddings => embeddings::embeddings(call).await,
        Operation::V1Responses => responses::responses(call).await,
        Operation::V1Messages => messages::messages(call).await,
        Operation::V1Transcriptions => audio::transcriptions(call).await,
        Operation::V1Model => models::model(call, variable).await,
        other => models::listing(call, other).await,
    }
}

/// Whether a stream shall tell its usage.
fn includes_usage(fields: &Fields) -> bool {
    let options = fields.get("stream_options");
    options.and_then(|options| options.get("include_usage")).and_then(Value::as_bool).unwrap_or(false)
}

fn usage(summary: &Summary) -> Value {
    json!({
        "prompt_tokens": summary.prompt_tokens,
        "completion_tokens": summary.tokens,
        "total_tokens": summary.prompt_tokens + summary.tokens,
    })
}

/// Seconds since 1970, the `created` of all objects.
fn now() -> i64 {
    Timestamp::now().as_second()
}

/// The text of a message's `content`: a string, or the text parts of a list.
fn content_text(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
            texts.collect::<Vec<_>>().join("\n\n")
        }
        _ => String::new(),
    }
}
