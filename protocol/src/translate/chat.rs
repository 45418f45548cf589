//! A chat request in neutral form: what every client's chat is read into and every backend's chat is written from.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Refused;
use super::fields::Fields;

/// A chat request. Sampling is in Ollama's names and nesting (`options`), since that is the largest vocabulary.
#[derive(Clone, Debug, Default)]
pub(super) struct Chat {
    /// As the client wrote it.
    pub(super) model: String,
    pub(super) messages: Vec<Message>,
    /// Function tools, each as `{"type": "function", "function": {"name", "description", "parameters"}}`. Never parsed:
    /// schemas pass as they are.
    pub(super) tools: Vec<Box<RawValue>>,
    pub(super) tool_choice: ToolChoice,
    /// Whether several tool calls at once are wanted; `None`: the client does not say.
    pub(super) parallel_tool_calls: Option<bool>,
    /// With the client's own default already in it.
    pub(super) stream: bool,
    pub(super) format: Format,
    pub(super) think: Option<Think>,
    /// `num_predict`, `temperature`, `top_p`, `top_k`, `seed`, `stop` (always an array) and so on.
    pub(super) options: Map<String, Value>,
    pub(super) logprobs: Option<bool>,
    pub(super) top_logprobs: Option<u64>,
    /// As written: a number of seconds or a duration.
    pub(super) keep_alive: Option<Value>,
    /// Ollama's `truncate` and `shift`, which only it knows.
    pub(super) truncate: Option<bool>,
    pub(super) shift: Option<bool>,
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Message {
    /// `system`, `user`, `assistant`, `tool`, lower case; others as the client wrote them. `developer` is `system`.
    pub(super) role: String,
    /// All texts of the message; parts are joined by `"\n\n"`.
    pub(super) content: String,
    pub(super) thinking: String,
    pub(super) media: Vec<Media>,
    pub(super) tool_calls: Vec<ToolCall>,
    /// Of a tool's result: the call that it answers.
    pub(super) tool_call_id: Option<String>,
    /// Of a tool's result: the tool.
    pub(super) tool_name: Option<String>,
}

/// An image or a sound in a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Media {
    /// Standard, padded base64 of the file.
    Inline {
        base64: String,
        /// As the client named it, such as `image/png`; `None` if it did not, or cannot.
        media_type: Option<String>,
    },
    /// Where it is. The writer for OpenAI passes it on; for Ollama it must have been fetched before
    /// ([`Chat::remote_media`]).
    Remote {
        url: String,
        /// Where in the client's body, for refusals.
        field: String,
        /// What the client is told if it can be neither passed on nor fetched: upstream's words in the client's API.
        refusal: &'static str,
    },
}

/// A call of a tool, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ToolCall {
    /// `None` where the client or backend gave none.
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) arguments: Map<String, Value>,
    /// Which of the calls of its message this is, where that is said: Ollama's API has a place for it. Else their order
    /// says it.
    pub(super) index: Option<u32>,
}

/// Which tools the model may or must call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ToolChoice {
    #[default]
    Auto,
    /// None may be called.
    None,
    /// One must be called.
    Required,
    /// This one must be called.
    Named(String),
}

/// The form of the answer.
#[derive(Clone, Debug, Default)]
pub(super) enum Format {
    #[default]
    Text,
    /// Any JSON object.
    Json,
    /// JSON by this schema.
    Schema(Schema),
}

/// A schema, and what OpenAI's clients say beside it.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    pub(super) text: Box<RawValue>,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    /// Ollama's answers always follow it strictly.
    pub(super) strict: Option<bool>,
}

/// Whether, and how hard, the model thinks before it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Think {
    Off,
    On,
    /// `low`, `medium`, `high` or `max`.
    Level(String),
}

// === impl Schema ===

impl Schema {
    /// Reads a schema that is a member of an object, and what stands beside it there; `None` if there is none.
    pub(super) fn read(named: &mut Fields<'_>) -> Result<Option<Self>, Refused> {
        let (name, description) = (named.text("name")?, named.text("description")?);
        let strict = named.flag("strict")?;
        let schema = named.raw("schema");
        Ok(schema.map(|schema| Self { text: schema.to_owned(), name, description, strict }))
    }
}

impl From<&RawValue> for Schema {
    fn from(schema: &RawValue) -> Self {
        Self { text: schema.to_owned(), name: None, description: None, strict: None }
    }
}

// === impl ToolCall ===

impl ToolCall {
    /// Which call of its answer this is: what the backend says, but behind the calls before it, of which there are
    /// `made`. Clients put calls together by it, so no two may have the same.
    pub(super) fn place(&self, made: &mut u32) -> u32 {
        let place = self.index.filter(|index| *index >= *made).unwrap_or(*made);
        *made = place.saturating_add(1);
        place
    }
}

// === impl Chat ===

impl Chat {
    /// Whether media are named by a URL.
    pub(super) fn has_remote_media(&self) -> bool {
        let mut media = self.messages.iter().flat_map(|message| &message.media);
        media.any(|media| matches!(media, Media::Remote { .. }))
    }

    /// Media that are named by a URL, to be replaced by [`Media::Inline`].
    pub(super) fn remote_media(&mut self) -> impl Iterator<Item = &mut Media> {
        let media = self.messages.iter_mut().flat_map(|message| &mut message.media);
        media.filter(|media| matches!(media, Media::Remote { .. }))
    }
}
