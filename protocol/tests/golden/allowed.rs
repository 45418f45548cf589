//! The differences that are wanted: the only ones that the golden test lets pass.

use crate::case::Case;
use crate::compare::Difference;
use crate::pattern::{NOTHING, has, is, matches};

/// A place where ours is better than what upstream does.
pub(crate) struct Row {
    /// The decision: an entry of section 7 of the specification, or the row with a recommendation; and what it means.
    why: &'static str,
    /// The name of the case; a `*` stands for anything, here and in `place`.
    case: &'static str,
    /// A member that the client's request must have, such as `messages.*.reasoning`; a `*` stands for any one name or
    /// index. Empty: any request.
    asks: &'static str,
    /// As in [`Difference::place`].
    place: &'static str,
    /// JSON of theirs and of ours; [`NOTHING`], or `*` for anything. Of an object in ours, members that are not named
    /// here do not matter.
    theirs: &'static str,
    ours: &'static str,
}

/// In ours: the name that the client has written.
const MODEL: &str = "$model";

pub(crate) const ROWS: &[Row] = &[
    Row {
        why: "2.1: answers name the model as the client does; the backend of these cases names another one",
        case: "*",
        asks: "",
        place: "*.model",
        theirs: "*",
        ours: MODEL,
    },
    Row {
        why: "2.2: null is the same as absent",
        case: "*",
        asks: "",
        place: "request.options.stop",
        theirs: "null",
        ours: NOTHING,
    },
    Row {
        why: "2.2: roles are lower case, as Ollama itself makes them",
        case: "*",
        asks: "",
        place: "request.messages.*.role",
        theirs: r#""User""#,
        ours: r#""user""#,
    },
    Row {
        why: "2.5: refusals are the node's to write, and what names a request in them is, too",
        case: "anthropic.req.*",
        asks: "",
        place: "body.request_id",
        theirs: r#""req_ID""#,
        ours: NOTHING,
    },
    Row {
        why: "2.5: a mistake in a field names it where OpenAI's own API does; upstream has no use for it",
        case: "*",
        asks: "",
        place: "body.error.param",
        theirs: "null",
        ours: "*",
    },
    Row {
        why: "3, ShowRequest: `name` is the older word for `model`",
        case: "models.retrieve*",
        asks: "",
        place: "request.name",
        theirs: "*",
        ours: NOTHING,
    },
    Row {
        why: "3, ShowRequest: `name` is the older word for `model`",
        case: "models.retrieve*",
        asks: "",
        place: "request.model",
        theirs: r#""""#,
        ours: "*",
    },
    Row {
        why: "4.1, row tool_calls[].id: the index of a call is its position",
        case: "*",
        asks: "",
        place: "request.messages.*.tool_calls.*.function.index",
        theirs: "0",
        ours: "*",
    },
    Row {
        why: "4.1, row role developer: it is `system`",
        case: "*",
        asks: "",
        place: "request.messages.*.role",
        theirs: r#""developer""#,
        ours: r#""system""#,
    },
    Row {
        why: "4.1, row arguments: an empty text is no arguments",
        case: "chat.req.tool_empty_arguments",
        asks: "",
        place: "request",
        theirs: NOTHING,
        ours: r#"{"model":"llama3.2"}"#,
    },
    Row {
        why: "4.1, row reasoning: `reasoning_content` is read, too",
        case: "*",
        asks: "messages.*.reasoning_content",
        place: "request.messages.*.thinking",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "4.1, row tool_choice: where no tool may be called there are none",
        case: "*",
        asks: "tool_choice",
        place: "request.tools",
        theirs: "*",
        ours: NOTHING,
    },
    Row {
        why: "4.1, row n: several answers are refused",
        case: "chat.*",
        asks: "n",
        place: "request",
        theirs: "*",
        ours: NOTHING,
    },
    Row {
        why: "4.1, last row: Ollama's options are taken as extensions",
        case: "*",
        asks: "top_k",
        place: "request.options.top_k",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "4.1, last row: Ollama's options are taken as extensions",
        case: "*",
        asks: "min_p",
        place: "request.options.min_p",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "4.1, last row: Ollama's options are taken as extensions",
        case: "*",
        asks: "repeat_penalty",
        place: "request.options.repeat_penalty",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "4.1, last row: Ollama's options are taken as extensions",
        case: "*",
        asks: "options",
        place: "request.options.*",
        theirs: "*",
        ours: "*",
    },
    Row {
        why: "4.1, last row: `keep_alive` is taken as an extension",
        case: "*",
        asks: "keep_alive",
        place: "request.keep_alive",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "4.1, last row: `think` is taken as an extension",
        case: "*",
        asks: "think",
        place: "request.think",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "4.6, row prompt array: one of one text is a text",
        case: "completions.req.*",
        asks: "prompt.0",
        place: "request",
        theirs: NOTHING,
        ours: r#"{"stream":false}"#,
    },
    Row {
        why: "4.9: a 401 is about this node's credentials, and none of the client's",
        case: "*",
        asks: "",
        place: "status",
        theirs: "401",
        ours: "502",
    },
    Row {
        why: "5: what would have to be stored is refused",
        case: "responses.*",
        asks: "previous_response_id",
        place: "request",
        theirs: "*",
        ours: NOTHING,
    },
    Row {
        why: "5: JSON without a schema can be asked for",
        case: "responses.*",
        asks: "text.format",
        place: "request.format",
        theirs: NOTHING,
        ours: r#""json""#,
    },
    Row {
        why: "7.2: the parts of a message are one message",
        case: "*",
        asks: "",
        place: "request.messages.parts",
        theirs: "*",
        ours: "*",
    },
    Row {
        why: "7.3: errors in the middle of a stream are not lost",
        case: "*",
        asks: "",
        place: "frame*",
        theirs: "*",
        ours: r#"{"error":{"type":"api_error","message":"boom"}}"#,
    },
    Row {
        why: "7.3: errors in the middle of a stream are not lost",
        case: "anthropic.*",
        asks: "",
        place: "frame*",
        theirs: NOTHING,
        ours: r#"{"event":"error","data":{"type":"error","error":{"type":"api_error","message":"boom"}}}"#,
    },
    Row {
        why: "7.3: errors in the middle of a stream are not lost",
        case: "responses.*",
        asks: "",
        place: "frame*",
        theirs: NOTHING,
        ours: r#"{"event":"response.failed","data":{"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"boom"}}}}"#,
    },
    Row {
        why: "7.4: parts as content do not lose the id of the call",
        case: "*",
        asks: "",
        place: "request.messages.*.tool_call_id",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "7.4: nor the name of the tool",
        case: "*",
        asks: "",
        place: "request.messages.*.tool_name",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "7.4: nor what was thought",
        case: "*",
        asks: "messages.*.reasoning",
        place: "request.messages.*.thinking",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "7.5: `max_completion_tokens` counts",
        case: "*",
        asks: "max_completion_tokens",
        place: "request.options.num_predict",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "7.6: an empty list is a list",
        case: "anthropic.*",
        asks: "",
        place: "body.content",
        theirs: "null",
        ours: "[]",
    },
    Row {
        why: "7.6: an empty list is a list",
        case: "*",
        asks: "",
        place: "body.data",
        theirs: "null",
        ours: "[]",
    },
    Row {
        why: "7.8: an answer that was cut is not complete",
        case: "responses.*",
        asks: "",
        place: "*.status",
        theirs: r#""completed""#,
        ours: r#""incomplete""#,
    },
    Row {
        why: "7.8: an answer that was cut is not complete",
        case: "responses.*",
        asks: "",
        place: "*.incomplete_details",
        theirs: "null",
        ours: r#"{"reason":"max_output_tokens"}"#,
    },
    Row {
        why: "7.8: an answer that was cut is not complete",
        case: "responses.*",
        asks: "",
        place: "frame*.event",
        theirs: r#""response.completed""#,
        ours: r#""response.incomplete""#,
    },
    Row {
        why: "7.8: an answer that was cut is not complete",
        case: "responses.*",
        asks: "",
        place: "frame*.data.type",
        theirs: r#""response.completed""#,
        ours: r#""response.incomplete""#,
    },
    Row {
        why: "7.10: tools pass as they are",
        case: "*",
        asks: "",
        place: "request.tools.*",
        theirs: NOTHING,
        ours: "*",
    },
    Row {
        why: "7.10: tools pass as they are",
        case: "*",
        asks: "",
        place: "request.tools.raw",
        theirs: "*",
        ours: "*",
    },
    Row {
        why: "7.10: what a tool does not say is not said",
        case: "*",
        asks: "",
        place: "request.tools.*",
        theirs: "null",
        ours: NOTHING,
    },
    Row {
        why: "7.12: to load a model is to stop",
        case: "*",
        asks: "",
        place: "*.finish_reason",
        theirs: r#""load""#,
        ours: r#""stop""#,
    },
    Row {
        why: "7.12: to unload it is, too",
        case: "*",
        asks: "",
        place: "*.finish_reason",
        theirs: r#""unload""#,
        ours: r#""stop""#,
    },
    Row {
        why: "7.12: to load a model is to stop",
        case: "anthropic.*",
        asks: "",
        place: "*.stop_reason",
        theirs: r#""stop_sequence""#,
        ours: r#""end_turn""#,
    },
];

// === impl Row ===

impl Row {
    pub(crate) fn allows(&self, case: &Case, difference: &Difference) -> bool {
        let ours = if self.ours == MODEL { &case.request["model"].to_string() } else { self.ours };
        matches(self.case, &case.name)
            && has(&case.request, self.asks)
            && matches(self.place, &difference.place)
            && is(self.theirs, difference.theirs.as_ref())
            && is(ours, difference.ours.as_ref())
    }

    pub(crate) fn name(&self) -> String {
        format!("{} ({})", self.why, self.place)
    }
}
