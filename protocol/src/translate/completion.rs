//! A plain completion in neutral form: a prompt that is continued as it is, without a chat template of ours.

use serde_json::{Map, Value};

use super::chat::{Chat, Format, Media, Message, Think};

/// OpenAI's `/v1/completions`, and Ollama's `/api/generate`.
#[derive(Clone, Debug, Default)]
pub(super) struct Completion {
    /// As the client wrote it.
    pub(super) model: String,
    pub(super) prompt: String,
    pub(super) suffix: Option<String>,
    pub(super) stream: bool,
    /// As in [`super::chat::Chat`].
    pub(super) options: Map<String, Value>,
    /// How many alternatives per token; `None`: no log probabilities.
    pub(super) logprobs: Option<u64>,
    // What only `/api/generate` has:
    pub(super) system: Option<String>,
    pub(super) template: Option<String>,
    pub(super) raw: bool,
    pub(super) format: Format,
    pub(super) think: Option<Think>,
    pub(super) media: Vec<Media>,
    pub(super) keep_alive: Option<Value>,
    pub(super) truncate: Option<bool>,
    pub(super) shift: Option<bool>,
}

// === impl Completion ===

impl Completion {
    /// Whether the prompt must not go through a chat template, so that only a plain completion will do.
    pub(super) fn is_plain(&self) -> bool {
        let says = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        self.raw || says(&self.suffix) || says(&self.template)
    }

    /// The same as a chat of one question: what Ollama makes of a prompt, by its model's template.
    pub(super) fn to_chat(&self) -> Chat {
        let message = |role: &str, content: &str, media| Message {
            role: role.to_owned(),
            content: content.to_owned(),
            media,
            ..Message::default()
        };
        let mut messages = Vec::new();
        if let Some(system) = self.system.as_deref().filter(|system| !system.is_empty()) {
            messages.push(message("system", system, Vec::new()));
        }
        messages.push(message("user", &self.prompt, self.media.clone()));
        Chat {
            model: self.model.clone(),
            messages,
            stream: self.stream,
            format: self.format.clone(),
            think: self.think.clone(),
            options: self.options.clone(),
            logprobs: self.logprobs.map(|_| true),
            top_logprobs: self.logprobs,
            keep_alive: self.keep_alive.clone(),
            truncate: self.truncate,
            shift: self.shift,
            ..Chat::default()
        }
    }
}
