//! The objects of the admin API and of the settings file: what they hold, their defaults, rules and JSON form.
//!
//! In: JSON with tolerant spelling. Out: complete, checked objects plus the names nobody understood.
//! Knows nothing about storage, health or HTTP.

pub mod backend;
pub mod format;
pub mod frontend;
pub mod key;
pub mod lenient;
pub mod patch;
pub mod path;
pub mod record;
pub mod runtime;
pub mod secret;
pub mod validate;

use serde_json::Value;

pub use self::backend::Backend;
pub use self::format::{ApiFormat, BackendState, HealthCheckMethod, LoadBalancing};
pub use self::frontend::Frontend;
pub use self::key::{Key, KeyOperation};
pub use self::lenient::{ObjectError, Parsed};
pub use self::path::{JsonPath, Segment};
pub use self::record::Exposed;
pub use self::runtime::{BackendRuntime, BackendStatus};
pub use self::secret::Secret;

/// Parses the text of a request body.
fn parse(text: &[u8]) -> Result<Value, ObjectError> {
    serde_json::from_slice(text).map_err(|error| ObjectError::syntax(&error))
}

/// The same object without the property `name`, in whatever case it is written.
fn without_property(mut value: Value, name: &str) -> Value {
    if let Value::Object(properties) = &mut value {
        properties.retain(|key, _| !key.eq_ignore_ascii_case(name));
    }
    value
}

#[cfg(test)]
mod tests;
