//! Where what we do differs from what was observed.

use std::fmt;

use serde_json::{Map, Value};

use crate::case::{Case, Outcome};

/// One place where ours is not theirs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// Such as `request.options.num_predict`, `response.body.data[0]` or `frame[3].choices`.
    pub(crate) place: String,
    /// `None`: there is nothing.
    pub(crate) theirs: Option<Value>,
    pub(crate) ours: Option<Value>,
}

/// All differences of one case.
pub(crate) fn differences(case: &Case, outcome: &Outcome) -> Vec<Difference> {
    let mut found = Found { place: Vec::new(), differences: Vec::new() };
    let theirs = case.ollama_request.clone().map(without_zeros);
    let ours = outcome.request.clone().map(without_zeros);
    found.within("request", |found| found.requests(case, theirs.as_ref(), ours.as_ref()));
    if theirs.is_some() != ours.is_some() {
        // One is refused: the answers are not to the same thing.
        return found.differences;
    }
    let (theirs, ours) = (&case.response, &outcome.response);
    found.within("status", |found| found.compare(Some(&theirs.status.into()), Some(&ours.status.into())));
    if ours.content_type.is_some() && ours.content_type != theirs.content_type {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        found.within("content_type", |found| found.add(text(&theirs.content_type), text(&ours.content_type)));
    }
    let mut body = theirs.body.clone();
    let is_decoders =
        |body: &Value| body["error"]["message"].as_str().is_some_and(|it| it.starts_with("json: "));
    if let (Some(theirs), Some(ours)) = (&mut body, &ours.body)
        && (case.is_undecodable() || is_decoders(theirs))
    {
        theirs["error"]["message"] = ours["error"]["message"].clone();
    }
    found.within("body", |found| found.compare(body.as_ref(), ours.body.as_ref()));
    let frames =
        |frames: &Option<Vec<String>>| frames.iter().flatten().map(|it| frame(it)).collect::<Vec<_>>();
    let (theirs, ours) = (frames(&theirs.sse_events), frames(&ours.sse_events));
    for index in 0..theirs.len().max(ours.len()) {
        let (theirs, ours) = (theirs.get(index), ours.get(index));
        let is_error = |frame: Option<&Value>| frame.is_some_and(|frame| frame.get("error").is_some());
        found.within(&format!("frame[{index}]"), |found| {
            if is_error(theirs) == is_error(ours) {
                found.compare(theirs, ours);
            } else {
                // Not even the same kind of frame.
                found.add(theirs.cloned(), ours.cloned());
            }
        });
    }
    found.differences
}

/// A request without the members that nobody has set and that Go writes nevertheless, because they have no `omitempty`:
/// zero values of their types. `options` are kept whole: each of them is set on purpose.
fn without_zeros(request: Value) -> Value {
    let Value::Object(members) = request else { return request };
    let is_zero = |name: &str, value: &Value| match name {
        _ if value.is_null() => true,
        "suffix" | "system" | "template" => value == "",
        "raw" | "verbose" | "logprobs" => value == false,
        "top_logprobs" => value == 0,
        _ => false,
    };
    Value::Object(members.into_iter().filter(|(name, value)| !is_zero(name, value)).collect())
}

/// Upstream's request with one message for each of the client's, whose parts it has made messages of: their texts with an
/// empty line between them, their images in order. `None` if it is not that what upstream has done.
fn with_merged_parts(theirs: &Value, asked: &Value) -> Option<Value> {
    let mut parts = theirs["messages"].as_array()?.iter();
    let mut messages = Vec::new();
    for message in asked["messages"].as_array()? {
        let count = message["content"].as_array().map_or(1, Vec::len);
        let mut merged = parts.next()?.clone();
        for part in parts.by_ref().take(count.checked_sub(1)?) {
            for (name, value) in part.as_object()? {
                match (name.as_str(), value, &mut merged[name]) {
                    ("content", Value::String(more), Value::String(text)) => {
                        let between = if text.is_empty() || more.is_empty() { "" } else { "\n\n" };
                        *text = format!("{text}{between}{more}");
                    }
                    (_, Value::Array(more), Value::Array(list)) => list.extend(more.iter().cloned()),
                    (_, value, place) => *place = value.clone(),
                }
            }
        }
        messages.push(merged);
    }
    let mut request = theirs.clone();
    request["messages"] = messages.into();
    parts.next().is_none().then_some(request)
}

/// A server-sent event as an object: its data, and its name beside it. `[DONE]` and what is no JSON are texts.
fn frame(text: &str) -> Value {
    let (event, data) = match text.strip_prefix("event: ").and_then(|text| text.split_once('\n')) {
        Some((event, data)) => (Some(event), data),
        None => (None, text),
    };
    let Some(data) = data.strip_prefix("data: ") else { return text.into() };
    let data = serde_json::from_str(data).unwrap_or_else(|_| data.into());
    let Some(event) = event else { return data };
    let members = [("event".to_owned(), event.into()), ("data".to_owned(), data)];
    Value::Object(members.into_iter().collect::<Map<_, _>>())
}

struct Found {
    place: Vec<String>,
    differences: Vec<Difference>,
}

// === impl Found ===

impl Found {
    fn within(&mut self, name: &str, compare: impl FnOnce(&mut Self)) {
        self.place.push(name.to_owned());
        compare(self);
        self.place.pop();
    }

    fn add(&mut self, theirs: Option<Value>, ours: Option<Value>) {
        self.differences.push(Difference { place: self.place.join("."), theirs, ours });
    }

    /// Compares two requests. Where upstream makes a message of each part and ours one of all of them, that is one
    /// difference, and what else there is is found, too.
    fn requests(&mut self, case: &Case, theirs: Option<&Value>, ours: Option<&Value>) {
        let mut theirs = theirs.cloned();
        let (tools, asked) = (ours.and_then(|ours| ours.get("tools")), case.request.get("tools"));
        if let Some(theirs) = theirs.as_mut().and_then(|theirs| theirs.get_mut("tools"))
            && tools == asked
            && let Some(tools) = tools
            && tools != theirs
        {
            // As the client wrote them: what upstream has made of them does not matter.
            let theirs = std::mem::replace(theirs, tools.clone());
            let places = |found: &mut Self| found.add(Some(theirs), Some(tools.clone()));
            self.within("tools", |found| found.within("raw", places));
        }
        let theirs = theirs.as_ref();
        let len = |request: Option<&Value>| request?["messages"].as_array().map(Vec::len);
        let parts = theirs.filter(|_| ours.is_some() && len(theirs) != len(ours));
        let Some(merged) = parts.and_then(|theirs| with_merged_parts(theirs, &case.request)) else {
            return self.compare(theirs, ours);
        };
        self.within("messages", |found| {
            let messages = |request: Option<&Value>| request.map(|request| request["messages"].clone());
            found.within("parts", |found| found.add(messages(theirs), messages(ours)));
        });
        self.compare(Some(&merged), ours);
    }

    fn compare(&mut self, theirs: Option<&Value>, ours: Option<&Value>) {
        match (theirs, ours) {
            (Some(Value::Object(theirs)), Some(Value::Object(ours))) => {
                let new = ours.keys().filter(|name| !theirs.contains_key(*name));
                for name in theirs.keys().chain(new) {
                    self.within(name, |found| found.compare(theirs.get(name), ours.get(name)));
                }
            }
            (Some(Value::Array(theirs)), Some(Value::Array(ours))) if theirs.len() == ours.len() => {
                for (index, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
                    self.within(&index.to_string(), |found| found.compare(Some(theirs), Some(ours)));
                }
            }
            (Some(theirs), Some(ours)) if is_same(theirs, ours) => {}
            (None, None) => {}
            _ => self.add(theirs.cloned(), ours.cloned()),
        }
    }
}

/// Numbers are the same by value, and so are objects in strings, which are arguments of calls; the file has placeholders for what is another one each time.
fn is_same(theirs: &Value, ours: &Value) -> bool {
    match (theirs, ours) {
        (Value::Number(theirs), Value::Number(ours)) => theirs == ours || theirs.as_f64() == ours.as_f64(),
        (Value::String(theirs), Value::String(ours)) => {
            let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
            let are_arguments = || object(theirs).is_some_and(|theirs| object(ours) == Some(theirs));
            theirs == ours
                || are_arguments()
                || theirs.strip_suffix("ID").is_some_and(|prefix| is_id(prefix, ours))
        }
        (Value::String(theirs), Value::Number(ours)) => theirs == "NOW" && ours.as_u64().is_some(),
        _ => theirs == ours,
    }
}

/// Whether `id` is of the kind that `prefix` tells, which is all before its first `_` or `-`.
fn is_id(prefix: &str, id: &str) -> bool {
    let kind = prefix.find(['_', '-']).map(|end| &prefix[..=end]);
    kind.and_then(|kind| id.strip_prefix(kind)).is_some_and(|rest| !rest.is_empty())
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        write!(f, "{}: theirs {}, ours {}", self.place, text(&self.theirs), text(&self.ours))
    }
}
