//! Server-sent events that have a name.

use serde::Serialize;

use super::openai;

/// Puts an event behind `out`.
pub(super) fn write<T: Serialize>(name: &str, data: &T, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    openai::frame(data, out);
}
