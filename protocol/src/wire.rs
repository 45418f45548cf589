//! Framing of streamed answers, without I/O: how a stream proves that it is complete, and the last frame of one
//! that is not.

mod ending;
mod failure;
mod ndjson;
mod sse;

pub use self::ending::{Ending, StreamFormat, StreamWatch};
pub use self::failure::{error_body, error_frame};
