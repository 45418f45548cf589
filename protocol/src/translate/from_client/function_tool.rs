//! Function tools in the form in which every backend takes them.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::translate::Refused;

/// A tool that the client runs, as its own API describes it.
#[derive(Debug, Serialize)]
pub(super) struct FunctionTool<'a> {
    pub(super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'a str>,
    /// The schema, passed on byte by byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strict: Option<bool>,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: &'a FunctionTool<'a>,
}

// === impl FunctionTool ===

impl FunctionTool<'_> {
    /// As an element of [`Chat::tools`](crate::translate::chat::Chat::tools).
    pub(super) fn to_json(&self) -> Result<Box<RawValue>, Refused> {
        let tool = Tool { r#type: "function", function: self };
        to_raw_value(&tool)
            .map_err(|e| Refused::body(format!("the tool {} cannot be written: {e}", self.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_passed_on_byte_by_byte() {
        let schema: &RawValue = serde_json::from_str(r##"{ "$ref" : "#/x", "minimum":1.50 }"##).unwrap();
        let tool = FunctionTool {
            name: "f",
            description: Some("says \"x\""),
            parameters: Some(schema),
            strict: Some(true),
        };
        assert_eq!(
            tool.to_json().unwrap().get(),
            r##"{"type":"function","function":{"name":"f","description":"says \"x\"","parameters":{ "$ref" : "#/x", "minimum":1.50 },"strict":true}}"##
        );
    }

    #[test]
    fn what_the_client_does_not_say_is_left_out() {
        let tool = FunctionTool { name: "f", description: None, parameters: None, strict: None };
        assert_eq!(tool.to_json().unwrap().get(), r#"{"type":"function","function":{"name":"f"}}"#);
    }
}
