//! Tool calls that come in fragments, put together.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::translate::chat::ToolCall;
use crate::translate::frames::MAX_FRAME;
use crate::translate::{Broken, Occasion};

/// The most calls in one answer.
const MAX_CALLS: usize = 128;

/// The most memory for the calls of one answer, in bytes of their ids, names and arguments: what one frame may have.
const MAX_BYTES: usize = MAX_FRAME;

/// A fragment of a call, or a whole one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fragment {
    index: Option<u64>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Function {
    name: Option<String>,
    arguments: Option<Arguments>,
}

/// JSON text, as the API has it; some engines write the object itself.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Arguments {
    Text(String),
    Object(Map<String, Value>),
}

/// The calls of one answer so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Vec<Open>,
    bytes: usize,
}

/// A call that more may come of.
#[derive(Debug, Default)]
struct Open {
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

// === impl Fragment ===

impl From<Function> for Fragment {
    /// The form before there were tools, of which there is never more than one.
    fn from(function: Function) -> Self {
        Self { function: Some(function), ..Self::default() }
    }
}

// === impl Calls ===

impl Calls {
    /// Takes the fragments of one delta. One without an index belongs to the last call, or by its place to one of several.
    pub(super) fn take(&mut self, fragments: Vec<Fragment>) -> Result<(), Broken> {
        let are_several = fragments.len() > 1;
        for (place, fragment) in (0..).zip(fragments) {
            let last = self.open.last().map_or(0, |call| call.index);
            let index = fragment.index.unwrap_or(if are_several { place } else { last });
            self.add(index, fragment)?;
        }
        Ok(())
    }

    /// The whole calls in the order of their indices, once nothing more can come.
    pub(super) fn finish(&mut self, occasion: Occasion) -> Result<Vec<ToolCall>, Broken> {
        let mut open = std::mem::take(&mut self.open);
        open.retain(|call| !(call.name.is_empty() && call.arguments.is_empty()));
        open.sort_by_key(|call| call.index);
        (0..).zip(open).map(|(number, call)| call.finish(occasion, number)).collect()
    }

    fn add(&mut self, index: u64, fragment: Fragment) -> Result<(), Broken> {
        let Fragment { id, function, .. } = fragment;
        let Function { name, arguments } = function.unwrap_or_default();
        let (id, name) = (id.unwrap_or_default(), name.unwrap_or_default());
        let arguments = arguments.map(String::from).unwrap_or_default();
        self.bytes += id.len() + name.len() + arguments.len();
        if self.bytes > MAX_BYTES {
            return Err(Broken::TooLong);
        }
        let is_full = self.open.len() == MAX_CALLS;
        let known = self.open.iter_mut().rev().find(|call| call.index == index && !call.is_over(&id, &name));
        match known {
            Some(call) => call.append(id, &name, &arguments),
            None if is_full => return Err(Broken::TooLong),
            None => self.open.push(Open { index, id, name, arguments }),
        }
        Ok(())
    }
}

// === impl Open ===

impl Open {
    /// Whether a fragment with this id and name, either of which may be empty, begins another call: Gemini gives all of
    /// them the same index, and others give none. An id alone does not tell, since vLLM has had a new one in each
    /// fragment.
    fn is_over(&self, id: &str, name: &str) -> bool {
        let has_other_id = !id.is_empty() && !self.id.is_empty() && id != self.id;
        let has_other_name = !self.arguments.is_empty() && name != self.name;
        !name.is_empty() && (has_other_id || has_other_name)
    }

    /// Names and arguments come in fragments; but engines also repeat the whole name.
    fn append(&mut self, id: String, name: &str, arguments: &str) {
        if self.id.is_empty() {
            self.id = id;
        }
        if name != self.name {
            self.name.push_str(name);
        }
        self.arguments.push_str(arguments);
    }

    fn finish(self, occasion: Occasion, number: u32) -> Result<ToolCall, Broken> {
        if self.name.is_empty() {
            return Err(Broken::Unreadable("a tool call has no name".to_owned()));
        }
        let arguments = match self.arguments.trim() {
            "" => None,
            text => serde_json::from_str(text).map_err(|_| {
                Broken::Unreadable(format!("the arguments of tool {:?} are no JSON object", self.name))
            })?,
        };
        let id = if self.id.is_empty() { occasion.call(number) } else { self.id };
        let index = u32::try_from(self.index).ok();
        Ok(ToolCall { id: Some(id), name: self.name, arguments: arguments.unwrap_or_default(), index })
    }
}

// === impl Arguments ===

impl From<Arguments> for String {
    fn from(arguments: Arguments) -> Self {
        match arguments {
            Arguments::Text(text) => text,
            Arguments::Object(object) => Value::Object(object).to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
