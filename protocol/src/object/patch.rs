//! What the bodies of `PUT /v1.0/...` mean: a create starts from the defaults, an update from what is stored.
//!
//! In: a JSON body and, for an update, the stored object. Out: the new object and the properties nobody knows, or
//! an error that names the property. The rules for an update: an absent property keeps its stored value; an
//! explicit `null` resets it to the default; a secret sent back as `"********"` keeps the stored one; live
//! properties are ignored. The identifier is the stored one's, and so is the time of creation. Whether unknown
//! properties are refused, when the update counts and what became of the object meanwhile is for others to say.

use std::collections::HashSet;

use serde_json::Value;

use super::backend::Backend;
use super::format::BackendState;
use super::frontend::Frontend;
use super::key::Key;
use super::lenient::{self, ObjectError, Parsed};
use super::path::JsonPath;
use super::record::{Exposed, Record};
use super::secret::Secret;
use super::{parse, without_property};
use crate::time::Timestamp;

// === Backend ===

impl Backend {
    /// Reads the body of a create: as [`Backend::from_json`], and refuses redacted secrets, for which there is
    /// nothing stored yet.
    pub fn create(body: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        let mut parsed = Self::from_json(body, now)?;
        parsed.value.resolve_secrets(None)?;
        Ok(parsed)
    }

    /// Reads the body of an update of this backend.
    pub fn patched(&self, body: &[u8]) -> Result<Parsed<Self>, ObjectError> {
        let mut parsed: Parsed<Self> = lenient::read(&merged(self, body)?)?;
        parsed.value.agree_on_state(self);
        let mut parsed = Self::finish(parsed, self.last_update_utc)?;
        parsed.value.identifier.clone_from(&self.identifier);
        parsed.value.created_utc = self.created_utc;
        parsed.value.revision = self.revision;
        parsed.value.resolve_secrets(Some(self))?;
        Ok(parsed)
    }

    /// Of `Active` and `State`, which say the same in part, the one that was changed counts; if both were, and
    /// contradict each other, the backend is disabled.
    fn agree_on_state(&mut self, stored: &Self) {
        let disabled = self.state == BackendState::Disabled;
        match (self.active != stored.active, self.state != stored.state) {
            (true, false) if self.active && disabled => self.state = BackendState::Active,
            (false, true) => self.active = !disabled,
            _ => {}
        }
    }

    /// Replaces every redaction mark by the secret it stands for in `stored`, or names the first one that stands
    /// for nothing: the mark itself is never a secret.
    pub fn resolve_secrets(&mut self, stored: Option<&Self>) -> Result<(), ObjectError> {
        if let Some(place) = self.unresolvable_mark(stored) {
            return Err(ObjectError::new(
                place,
                format!(
                    "is {:?}, which keeps a stored secret, but none is stored: send it in clear",
                    Secret::REDACTED
                ),
            ));
        }
        if let Some(stored) = stored {
            self.restore_secrets(stored);
        }
        Ok(())
    }

    fn unresolvable_mark(&self, stored: Option<&Self>) -> Option<JsonPath> {
        let stands_for_nothing = |sent: &Option<Secret>, stored: Option<&Option<Secret>>| {
            sent.as_ref().is_some_and(Secret::is_redaction_mark) && stored.is_none_or(Option::is_none)
        };
        if stands_for_nothing(&self.bearer_token, stored.map(|stored| &stored.bearer_token)) {
            return Some(JsonPath::root().property("BearerToken"));
        }
        if stands_for_nothing(&self.tls_key, stored.map(|stored| &stored.tls_key)) {
            return Some(JsonPath::root().property("TlsKey"));
        }
        if stands_for_nothing(&self.querystring, stored.map(|stored| &stored.querystring)) {
            return Some(JsonPath::root().property("Querystring"));
        }
        let stored_header = |name: &str| stored.and_then(|stored| stored.header(name));
        let (name, _) = self
            .headers
            .iter()
            .find(|(name, value)| value.is_redaction_mark() && stored_header(name).is_none())?;
        Some(JsonPath::root().property("Headers").property(name))
    }
}

// === Frontend ===

impl Frontend {
    /// Reads the body of a create.
    pub fn create(body: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        Self::from_json(body, now)
    }

    /// Reads the body of an update of this frontend.
    pub fn patched(&self, body: &[u8]) -> Result<Parsed<Self>, ObjectError> {
        let mut parsed = Self::from_value(&merged(self, body)?, self.last_update_utc)?;
        parsed.value.identifier.clone_from(&self.identifier);
        parsed.value.created_utc = self.created_utc;
        parsed.value.revision = self.revision;
        Ok(parsed)
    }
}

// === Key ===

impl Key {
    /// Reads the body of a create. Its hash may be missing: then a secret is to be made.
    pub fn create(body: &[u8], now: Timestamp) -> Result<Parsed<Self>, ObjectError> {
        Self::from_json(body, now)
    }

    /// Reads the body of an update of this key.
    pub fn patched(&self, body: &[u8]) -> Result<Parsed<Self>, ObjectError> {
        let mut parsed = Self::from_value(&merged(self, body)?, self.last_update_utc)?;
        parsed.value.identifier.clone_from(&self.identifier);
        parsed.value.created_utc = self.created_utc;
        parsed.value.revision = self.revision;
        parsed.value.resolve_hash(Some(self))?;
        Ok(parsed)
    }
}

// === merging ===

/// The stored object with the properties of `body` in the place of its own. Nulls stay: the reader takes them for
/// the default.
fn merged<T: Record>(stored: &T, body: &[u8]) -> Result<Value, ObjectError> {
    let sent = match without_property(parse(body)?, "Identifier") {
        Value::Object(sent) => sent,
        // The reader tells what it should have been.
        other => return Ok(other),
    };
    let stored = serde_json::to_value(Exposed(stored)).map_err(|error| ObjectError::syntax(&error))?;
    let names: HashSet<String> = sent.keys().map(|name| name.to_ascii_lowercase()).collect();
    let Value::Object(mut properties) = stored else { return Ok(stored) };
    properties.retain(|name, _| !names.contains(&name.to_ascii_lowercase()));
    properties.extend(sent);
    Ok(Value::Object(properties))
}

#[cfg(test)]
mod tests;
