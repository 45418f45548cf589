//! Framing of streamed answers, without I/O: how a stream proves that it is complete, and the last frame of one
//! that is not.

mod content;
mod ending;
mod failure;
pub mod fault;
mod members;
mod ndjson;
mod sse;
mod usage;

pub use self::content::FirstContent;
pub use self::ending::{Ending, StreamFormat, StreamWatch};
pub use self::failure::{error_body, error_body_of, error_frame};
pub use self::usage::{Usage, UsageWatch};
