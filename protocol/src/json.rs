//! Reading and changing JSON bodies in place: a request body is never parsed into a tree and written anew.

pub(crate) mod key;
mod pins;
pub(crate) mod scan;

pub use self::pins::{PinError, merge_pins};
