//! What a frame of a streamed answer says, in each of the three shapes that can be continued.

use serde_json::{Map, Value};

use super::frames::Framing;
use crate::route::Operation;

/// The shape of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `POST /api/chat`: the text is `message.content`.
    Chat,
    /// `POST /api/generate`: the text is `response`.
    Generate,
    /// `POST /v1/chat/completions`: the text is `choices[0].delta.content`.
    Chunks,
}

/// One whole frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    /// A blank line or a comment.
    Filler,
    /// `data: [DONE]`
    End,
    /// The backend reports an error.
    Failure,
    /// Anything else.
    Object(Map<String, Value>),
    /// Not what this dialect sends.
    Unreadable,
}

/// What an object says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts<'a> {
    /// The next text of the answer; may be empty.
    pub(super) text: &'a str,
    /// A thought, or a part of one.
    pub(super) thinks: bool,
    /// A tool call, or a part of one.
    pub(super) calls: bool,
    /// The engine has finished its answer.
    pub(super) finished: bool,
    /// Counts of tokens, after the answer.
    pub(super) counts: bool,
}

/// What makes chunks of one stream belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Identity(Option<Map<String, Value>>);

// === impl Dialect ===

impl Dialect {
    /// `None` where answers to the operation cannot be continued.
    pub(super) fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::OllamaChat => Some(Self::Chat),
            Operation::OllamaGenerate => Some(Self::Generate),
            Operation::OpenAiChat => Some(Self::Chunks),
            _ => None,
        }
    }

    pub(super) fn framing(self) -> Framing {
        match self {
            Self::Chat | Self::Generate => Framing::Lines,
            Self::Chunks => Framing::Events,
        }
    }

    /// Reads a whole frame.
    pub(super) fn read(self, frame: &[u8]) -> Frame {
        match self.framing() {
            Framing::Lines if frame.trim_ascii().is_empty() => Frame::Filler,
            Framing::Lines => object(frame),
            Framing::Events => event(frame),
        }
    }

    /// What an object says; `None` where it has another shape than this dialect's.
    pub(super) fn facts(self, object: &Map<String, Value>) -> Option<Facts<'_>> {
        match self {
            Self::Chat => {
                let message = optional(object.get("message"), Value::as_object).ok()?;
                let member = |name| message.and_then(|message| message.get(name));
                Some(Facts {
                    text: text(member("content")).ok()?,
                    thinks: says(member("thinking")),
                    calls: says(member("tool_calls")),
                    finished: object.get("done") == Some(&Value::Bool(true)),
                    counts: false,
                })
            }
            Self::Generate => Some(Facts {
                text: text(object.get("response")).ok()?,
                thinks: says(object.get("thinking")),
                calls: says(object.get("tool_calls")),
                finished: object.get("done") == Some(&Value::Bool(true)),
                counts: false,
            }),
            Self::Chunks => {
                let choices = optional(object.get("choices"), Value::as_array).ok()?;
                let choice = match choices.map_or([].as_slice(), Vec::as_slice) {
                    [] => return Some(Facts { counts: says(object.get("usage")), ..Facts::default() }),
                    [choice] => choice.as_object()?,
                    _ => return None,
                };
                if choice.get("index").is_some_and(|index| index.as_u64() != Some(0)) {
                    return None;
                }
                let delta = optional(choice.get("delta"), Value::as_object).ok()?;
                let member = |name| delta.and_then(|delta| delta.get(name));
                Some(Facts {
                    text: text(member("content")).ok()?,
                    thinks: ["reasoning", "reasoning_content", "thinking"]
                        .into_iter()
                        .any(|name| says(member(name))),
                    calls: ["tool_calls", "function_call"].into_iter().any(|name| says(member(name))),
                    finished: says(choice.get("finish_reason")),
                    counts: false,
                })
            }
        }
    }
}

// === impl Facts ===

impl Facts<'_> {
    /// Whether there is nothing in the frame for anyone.
    pub(super) fn is_silent(&self) -> bool {
        self.text.is_empty() && !(self.thinks || self.calls || self.finished || self.counts)
    }
}

// === impl Identity ===

/// `system_fingerprint` names an engine's configuration: changing in mid-answer, it would be a second stream.
const IDENTITY: [&str; 4] = ["id", "created", "model", "system_fingerprint"];

impl Identity {
    /// Remembers the first object of a stream; later ones change nothing.
    pub(super) fn learn(&mut self, dialect: Dialect, object: &Map<String, Value>) {
        if self.0.is_some() {
            return;
        }
        let names = if dialect == Dialect::Chunks { IDENTITY.as_slice() } else { &["model"] };
        let known = |name: &&str| Some(((*name).to_owned(), object.get(*name)?.clone()));
        self.0 = Some(names.iter().filter_map(known).collect());
    }

    /// Gives an object of another stream this one's identity.
    pub(super) fn apply(&self, dialect: Dialect, object: &mut Map<String, Value>) {
        let Some(known) = &self.0 else { return };
        if dialect == Dialect::Chunks {
            for name in IDENTITY.into_iter().filter(|name| !known.contains_key(*name)) {
                object.shift_remove(name);
            }
        }
        for (name, value) in known {
            object.insert(name.clone(), value.clone());
        }
    }

    /// Whether an object is what Ollama's `/v1` layer makes of the error of an engine that died: a chunk without a
    /// model that says nothing.
    pub(super) fn is_lost(&self, object: &Map<String, Value>, facts: &Facts<'_>) -> bool {
        let named = |object: &Map<String, Value>| {
            object.get("model").and_then(Value::as_str).is_some_and(|model| !model.is_empty())
        };
        facts.is_silent() && !named(object) && self.0.as_ref().is_some_and(named)
    }
}

/// The `data` of an event, its lines joined as the specification of server-sent events says.
fn event(frame: &[u8]) -> Frame {
    let mut data: Option<Vec<u8>> = None;
    let mut failed = false;
    for line in frame.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(value) = field(line, b"data") {
            match &mut data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => data = Some(value.to_vec()),
            }
        } else if field(line, b"event") == Some(b"error") {
            failed = true;
        }
    }
    match data {
        _ if failed => Frame::Failure,
        None => Frame::Filler,
        Some(data) if data.trim_ascii() == b"[DONE]" => Frame::End,
        Some(data) => object(&data),
    }
}

/// The value of a field, without the one optional space after the colon.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

fn object(json: &[u8]) -> Frame {
    match serde_json::from_slice::<Map<String, Value>>(json) {
        Ok(object) if says(object.get("error")) => Frame::Failure,
        Ok(object) => Frame::Object(object),
        Err(_) => Frame::Unreadable,
    }
}

/// A member of a type that no frame of the dialect has.
struct OtherShape;

/// A member that may be absent or null.
fn optional<'a, T>(
    member: Option<&'a Value>,
    read: impl Fn(&'a Value) -> Option<T>,
) -> Result<Option<T>, OtherShape> {
    match member {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).ok_or(OtherShape),
    }
}

/// A text that may be absent.
fn text(member: Option<&Value>) -> Result<&str, OtherShape> {
    Ok(optional(member, Value::as_str)?.unwrap_or_default())
}

/// Whether a member is there and says something.
fn says(member: Option<&Value>) -> bool {
    match member {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(elements)) => !elements.is_empty(),
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(dialect: Dialect, frame: &str) -> Option<(String, [bool; 4])> {
        let Frame::Object(object) = dialect.read(frame.as_bytes()) else { panic!("{frame} is no object") };
        let Facts { text, thinks, calls, finished, counts } = dialect.facts(&object)?;
        Some((text.to_owned(), [thinks, calls, finished, counts]))
    }

    #[test]
    fn each_dialect_has_its_place_for_the_text() {
        let plain = Some(("a".to_owned(), [false; 4]));
        assert_eq!(facts(Dialect::Chat, r#"{"message":{"content":"a"},"done":false}"#), plain);
        assert_eq!(facts(Dialect::Generate, r#"{"response":"a","done":false}"#), plain);
        let chunk = r#"data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}"#;
        assert_eq!(facts(Dialect::Chunks, chunk), plain);
    }

    #[test]
    fn thoughts_calls_and_ends_are_seen() {
        let marks = |dialect, frame: &str| facts(dialect, frame).unwrap().1;
        assert_eq!(
            marks(Dialect::Chat, r#"{"message":{"content":"","thinking":"hm"}}"#),
            [true, false, false, false]
        );
        assert_eq!(marks(Dialect::Chat, r#"{"message":{"tool_calls":[{}]}}"#), [false, true, false, false]);
        assert_eq!(marks(Dialect::Generate, r#"{"response":"","done":true}"#), [false, false, true, false]);
        let chunk = |choice: &str| marks(Dialect::Chunks, &format!("data: {{\"choices\":[{choice}]}}"));
        assert_eq!(chunk(r#"{"delta":{"reasoning_content":"hm"}}"#), [true, false, false, false]);
        assert_eq!(chunk(r#"{"delta":{"tool_calls":[{"index":0}]}}"#), [false, true, false, false]);
        assert_eq!(chunk(r#"{"delta":{},"finish_reason":"stop"}"#), [false, false, true, false]);
        let usage = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":1}}";
        assert_eq!(marks(Dialect::Chunks, usage), [false, false, false, true]);
    }

    #[test]
    fn events_are_read_whatever_their_lines() {
        let read = |frame: &str| Dialect::Chunks.read(frame.as_bytes());
        assert_eq!(read(": ping\n\n"), Frame::Filler);
        assert_eq!(read("\n"), Frame::Filler);
        assert_eq!(read("data:[DONE]\r\n\r\n"), Frame::End);
        assert_eq!(read("data: {\ndata: }\n\n"), Frame::Object(Map::new()));
        assert_eq!(read("data: {\"error\":{\"message\":\"x\"}}\n\n"), Frame::Failure);
        assert_eq!(read("event: error\ndata: {}\n\n"), Frame::Failure);
        assert_eq!(read("data: x\n\n"), Frame::Unreadable);
    }

    #[test]
    fn other_shapes_are_not_guessed_at() {
        for frame in [r#"{"message":{"content":["a"]}}"#, r#"{"message":"a"}"#] {
            assert_eq!(facts(Dialect::Chat, frame), None, "{frame}");
        }
        for chunk in [r#"{"choices":[{},{}]}"#, r#"{"choices":[{"index":1}]}"#, r#"{"choices":{}}"#] {
            assert_eq!(facts(Dialect::Chunks, &format!("data: {chunk}")), None, "{chunk}");
        }
    }
}
