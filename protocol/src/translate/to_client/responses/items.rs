//! The items of the output, in the order of members in which Ollama streams them.

use serde::Serialize;

/// One item, as far as it has come.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// What was thought or said, or the arguments of a call.
    pub(super) text: String,
    pub(super) status: Status,
}

/// What an item is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Reasoning,
    Message,
    Call { call_id: String, name: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

/// An item as JSON.
#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Vec<Part<'a>>>,
    /// In the clear: the client sends it back for the next turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted_content: Option<&'a str>,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Vec<Summary<'a>>>,
    r#type: &'static str,
}

/// A part of a message.
#[derive(Debug, Serialize)]
pub(super) struct Part<'a> {
    annotations: [u8; 0],
    logprobs: [u8; 0],
    text: &'a str,
    r#type: &'static str,
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    text: &'a str,
    r#type: &'static str,
}

// === impl Kind ===

impl Kind {
    /// How ids of such items begin.
    pub(super) fn prefix(&self) -> &'static str {
        match self {
            Self::Reasoning => "rs_",
            Self::Message => "msg_",
            Self::Call { .. } => "fc_",
        }
    }
}

// === impl Item ===

impl Item {
    /// The item as it begins, without its text.
    pub(super) fn begun(&self) -> View<'_> {
        let mut view = self.empty();
        if let Kind::Call { .. } = self.kind {
            view.arguments = Some("");
        }
        view
    }

    /// The item with the text that it has.
    pub(super) fn view(&self) -> View<'_> {
        let mut view = self.empty();
        match self.kind {
            Kind::Reasoning => {
                view.encrypted_content = Some(&self.text);
                view.summary = Some(vec![Summary { text: &self.text, r#type: "summary_text" }]);
            }
            Kind::Message => view.content = Some(vec![Part::of(&self.text)]),
            Kind::Call { .. } => view.arguments = Some(&self.text),
        }
        view
    }

    fn empty(&self) -> View<'_> {
        let view = View {
            arguments: None,
            call_id: None,
            content: None,
            encrypted_content: None,
            id: &self.id,
            name: None,
            role: None,
            status: Some(self.status),
            summary: None,
            r#type: "message",
        };
        match &self.kind {
            Kind::Reasoning => View { status: None, summary: Some(Vec::new()), r#type: "reasoning", ..view },
            Kind::Message => View { content: Some(Vec::new()), role: Some("assistant"), ..view },
            Kind::Call { call_id, name } => {
                View { call_id: Some(call_id), name: Some(name), r#type: "function_call", ..view }
            }
        }
    }
}

// === impl Part ===

impl<'a> Part<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { annotations: [], logprobs: [], text, r#type: "output_text" }
    }
}
