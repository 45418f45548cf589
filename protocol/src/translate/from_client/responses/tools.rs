//! The tools that the model may call, and whether it may or must.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::translate::Refused;
use crate::translate::chat::ToolChoice;
use crate::translate::fields::Fields;
use crate::translate::from_client::function_tool::FunctionTool;
use crate::translate::from_client::{FOLDED, openai};

/// A tool as the answer repeats it: all members are there.
#[derive(Serialize)]
struct Declared<'a> {
    description: Option<&'a str>,
    name: &'a str,
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<&'a RawValue>,
    r#type: &'a str,
}

/// The members that a function and a namespace of functions have in common.
struct Named<'b> {
    fields: Fields<'b>,
    kind: String,
    name: String,
    description: Option<String>,
}

/// Tools for the model, and those that the answer repeats.
type Tools = (Vec<Box<RawValue>>, Vec<Value>);

/// Reads `tools`. Functions of a namespace have its name and a dot before theirs.
pub(super) fn read(fields: &mut Fields<'_>, dropped: &mut Vec<String>) -> Result<Tools, Refused> {
    let (mut tools, mut declared) = (Vec::new(), Vec::new());
    for (index, tool) in fields.array("tools")?.unwrap_or_default().into_iter().enumerate() {
        let mut tool = Named::read(tool, &format!("tools[{index}]"))?;
        let members = match tool.kind.as_str() {
            "function" => {
                tools.push(tool.function(None, dropped)?);
                None
            }
            "namespace" => {
                let members = tool.fields.raw("tools");
                tools.extend(tool.members(dropped)?);
                members
            }
            _ => return Err(tool.built_in()),
        };
        declared.push(tool.declared(members)?);
    }
    Ok((tools, declared))
}

/// Reads `tool_choice`.
pub(super) fn choice(fields: &mut Fields<'_>) -> Result<ToolChoice, Refused> {
    openai::tool_choice(fields, |choice| {
        let is_function = choice.text("type")?.as_deref() == Some("function");
        Ok(choice.text("name")?.filter(|_| is_function))
    })
}

/// The name of a function in a namespace.
pub(super) fn qualified(namespace: &str, name: &str) -> String {
    let is_qualified = name.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('.'));
    if namespace.is_empty() || is_qualified { name.to_owned() } else { format!("{namespace}.{name}") }
}

// === impl Named ===

impl<'b> Named<'b> {
    fn read(tool: &'b RawValue, path: &str) -> Result<Self, Refused> {
        let mut fields = Fields::of_value(tool, FOLDED, path)?;
        let kind = fields.text("type")?.ok_or_else(|| Refused::field(fields.path("type"), "is required"))?;
        let name = fields.text("name")?.unwrap_or_default();
        let description = fields.text("description")?;
        Ok(Self { fields, kind, name, description })
    }

    /// The tool for the model.
    fn function(
        &mut self,
        namespace: Option<&str>,
        dropped: &mut Vec<String>,
    ) -> Result<Box<RawValue>, Refused> {
        if self.name.is_empty() {
            return Err(Refused::field(self.fields.path("name"), "is required"));
        }
        let name = qualified(namespace.unwrap_or_default(), &self.name);
        let tool = FunctionTool {
            name: &name,
            description: self.description.as_deref(),
            parameters: self.fields.raw("parameters"),
            strict: self.fields.flag("strict")?,
        };
        dropped.extend(self.fields.rest());
        tool.to_json()
    }

    /// The functions of the namespace, for the model.
    fn members(&mut self, dropped: &mut Vec<String>) -> Result<Vec<Box<RawValue>>, Refused> {
        let members = self.fields.array("tools")?.unwrap_or_default().into_iter().enumerate();
        let path = self.fields.path("tools");
        dropped.extend(self.fields.rest());
        let member = |(index, tool)| {
            let mut tool = Named::read(tool, &format!("{path}[{index}]"))?;
            if tool.kind != "function" {
                return Err(tool.built_in());
            }
            tool.function(Some(&self.name), dropped)
        };
        members.map(member).collect()
    }

    fn built_in(&self) -> Refused {
        let why = format!("is {:?}: only functions are supported, which the client runs", self.kind);
        Refused::field(self.fields.path("type"), why)
    }

    /// Parsed, and not as it was written: line ends would break the frames of a stream.
    fn declared(&mut self, tools: Option<&RawValue>) -> Result<Value, Refused> {
        let declared = Declared {
            description: self.description.as_deref(),
            name: &self.name,
            parameters: self.fields.raw("parameters"),
            strict: self.fields.flag("strict")?,
            tools,
            r#type: &self.kind,
        };
        serde_json::to_value(&declared)
            .map_err(|e| Refused::body(format!("the tool {} cannot be read: {e}", self.name)))
    }
}
