//! Where each API puts its counts of tokens.

use super::super::StreamFormat;
use super::super::members::{Interest, Scope};
use crate::route::Operation;

/// Where an answer has its counts.
#[derive(Debug)]
pub(in crate::wire) struct Places {
    /// The top-level member in which `usage` may stand, besides the top level itself.
    envelope: Option<&'static [u8]>,
    /// The object that has the counts.
    counts: Scope,
    pub(super) prompt: &'static [u8],
    pub(super) completion: &'static [u8],
}

// === impl Places ===

impl Places {
    /// `prompt_eval_count` and `eval_count`, both at the top level.
    pub(in crate::wire) const OLLAMA: Self =
        Self { envelope: None, counts: Scope::Top, prompt: b"prompt_eval_count", completion: b"eval_count" };

    /// `usage` of a body or chunk; vLLM's every chunk has one on demand, others have it in the last, else null or zeros.
    const OPENAI: Self = Self {
        envelope: None,
        counts: Scope::Usage,
        prompt: b"prompt_tokens",
        completion: b"completion_tokens",
    };

    /// `usage` of a body of the responses or messages API.
    const TYPED: Self =
        Self { envelope: None, counts: Scope::Usage, prompt: b"input_tokens", completion: b"output_tokens" };

    /// `usage` of the `response` that the last event holds; null in earlier ones.
    const RESPONSE_EVENTS: Self = Self { envelope: Some(b"response"), ..Self::TYPED };

    /// `usage` of the `message` of `message_start`, which may be an estimate, and that of `message_delta`, which is not.
    const MESSAGE_EVENTS: Self = Self { envelope: Some(b"message"), ..Self::TYPED };

    /// The counts of a body that is not streamed; `None` if it has none.
    pub(super) fn of_body(operation: Operation) -> Option<&'static Self> {
        match operation {
            Operation::OllamaGenerate | Operation::OllamaChat | Operation::OllamaEmbed => Some(&Self::OLLAMA),
            Operation::OpenAiChat | Operation::OpenAiCompletion | Operation::OpenAiEmbeddings => {
                Some(&Self::OPENAI)
            }
            Operation::OpenAiResponses | Operation::AnthropicMessages => Some(&Self::TYPED),
            _ => None,
        }
    }

    /// The counts in the data of server-sent events.
    pub(super) fn of_events(format: StreamFormat) -> &'static Self {
        match format {
            StreamFormat::OpenAiResponses => &Self::RESPONSE_EVENTS,
            StreamFormat::AnthropicMessages => &Self::MESSAGE_EVENTS,
            _ => &Self::OPENAI,
        }
    }

    /// What of an answer is to be told to [`Usage::take`](super::Usage::take).
    pub(in crate::wire) fn interest(&self, scope: Scope, key: &[u8]) -> Interest {
        match scope {
            _ if scope == self.counts && (key == self.prompt || key == self.completion) => Interest::Value,
            Scope::Top if self.envelope == Some(key) => Interest::Inside(Scope::Envelope),
            Scope::Top | Scope::Envelope if self.counts == Scope::Usage && key == b"usage" => {
                Interest::Inside(Scope::Usage)
            }
            _ => Interest::None,
        }
    }
}
