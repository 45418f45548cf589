//! Reading and changing JSON bodies in place: a request body is never parsed into a tree and written anew.

mod pins;

pub use self::pins::{PinError, merge_pins};
