//! The events of a stream, numbered in their order.

use serde::Serialize;

use super::items::{Item, Kind, Part, View};
use super::object::Response;
use crate::translate::to_client::event;

/// Writes the events of one stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    sequence_number: u64,
}

/// An event: the members of all kinds of them, in the order in which Ollama writes them.
#[derive(Debug, Default, Serialize)]
struct Event<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<[u8; 0]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<&'a Response<'a>>,
    sequence_number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    r#type: &'static str,
}

// === impl Stream ===

impl Stream {
    pub(super) fn is_started(&self) -> bool {
        self.sequence_number > 0
    }

    /// An event about the response as a whole.
    pub(super) fn response(&mut self, r#type: &'static str, response: &Response<'_>, out: &mut Vec<u8>) {
        self.send(Event { response: Some(response), r#type, ..Event::default() }, out);
    }

    /// An item begins, without text.
    pub(super) fn added(&mut self, index: usize, item: &Item, out: &mut Vec<u8>) {
        let r#type = "response.output_item.added";
        let added = Event { item: Some(item.begun()), output_index: Some(index), r#type, ..Event::default() };
        self.send(added, out);
        if item.kind == Kind::Message {
            let part = Some(Part::of(""));
            self.send(Event { part, ..Event::of(index, item, "response.content_part.added") }, out);
        }
    }

    /// An item goes on with `text`.
    pub(super) fn delta(&mut self, index: usize, item: &Item, text: &str, out: &mut Vec<u8>) {
        let (r#type, logprobs) = match item.kind {
            Kind::Reasoning => ("response.reasoning_summary_text.delta", None),
            Kind::Message => ("response.output_text.delta", Some([])),
            Kind::Call { .. } => ("response.function_call_arguments.delta", None),
        };
        self.send(Event { delta: Some(text), logprobs, ..Event::of(index, item, r#type) }, out);
    }

    /// An item is complete.
    pub(super) fn done(&mut self, index: usize, item: &Item, out: &mut Vec<u8>) {
        let text = Some(item.text.as_str());
        match item.kind {
            Kind::Reasoning => {
                let done = Event::of(index, item, "response.reasoning_summary_text.done");
                self.send(Event { text, ..done }, out);
            }
            Kind::Message => {
                let done = Event::of(index, item, "response.output_text.done");
                self.send(Event { text, logprobs: Some([]), ..done }, out);
                let part = Some(Part::of(&item.text));
                self.send(Event { part, ..Event::of(index, item, "response.content_part.done") }, out);
            }
            Kind::Call { .. } => {
                let done = Event::of(index, item, "response.function_call_arguments.done");
                self.send(Event { arguments: text, ..done }, out);
            }
        }
        let r#type = "response.output_item.done";
        let done = Event { item: Some(item.view()), output_index: Some(index), r#type, ..Event::default() };
        self.send(done, out);
    }

    fn send(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        let event = Event { sequence_number: self.sequence_number, ..event };
        self.sequence_number += 1;
        event::write(event.r#type, &event, out);
    }
}

// === impl Event ===

impl<'a> Event<'a> {
    /// An event about the text of an item: where it is.
    fn of(index: usize, item: &'a Item, r#type: &'static str) -> Self {
        Self {
            content_index: (item.kind == Kind::Message).then_some(0),
            item_id: Some(&item.id),
            output_index: Some(index),
            summary_index: (item.kind == Kind::Reasoning).then_some(0),
            r#type,
            ..Self::default()
        }
    }
}
