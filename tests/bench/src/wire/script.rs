//! The upstream's behaviour for one request, written as the value of the `x-bench` header: one upstream serves every
//! scenario and keeps no state between requests. In: header text; out: a [`Script`]. Does no I/O.

use std::fmt;
use std::str::FromStr;

/// Name of the header, lower case. A gateway passes an end-to-end header on that it does not know.
pub(crate) const HEADER: &str = "x-bench";
/// What stands before the script in a body, and what behind it: some proxies pass no header on that they do not know, but
/// all of them the messages.
const BODY_MARK: &[u8] = b"x-bench ";
const BODY_END: u8 = b';';
/// Bytes that the body of a whole plain answer has at least, also when a proxy has written its JSON anew.
pub(crate) const ANSWER_LEAST_BYTES: usize = 700;

/// How the upstream answers one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// One JSON document of about 1 KiB with `Content-Length`. Also what a request without the header gets.
    Answer,
    /// The first chunk at once, the others one per interval, the last with `"done":true`.
    Stream { chunks: u32, interval_us: u32 },
    /// The first chunk, then silence until the client leaves.
    Idle,
    /// So many chunks of about 1 KiB, as fast as they are taken.
    Flood { chunks: u32 },
    /// `after_chunks` whole chunks, then FIN without the end of the message.
    Truncate { after_chunks: u32, cut: Cut },
    /// [`Script::Answer`], then the connection is closed `delay_us` later, unread requests or not: the race between
    /// a pooled connection's end and its next use.
    CloseAfter { delay_us: u32 },
}

/// Where a truncated message ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// After a complete HTTP chunk: only the terminating chunk is missing.
    BetweenChunks,
    /// In the middle of an HTTP chunk's data.
    InsideChunk,
}

/// A header value that is no script.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is not a script: use answer, stream N US, idle, flood N, truncate N between|inside or close-after US"
)]
pub(crate) struct UnknownScript(String);

// === impl Script ===

impl Script {
    /// The script in a request's body; `None` if there is none.
    pub(crate) fn in_body(body: &[u8]) -> Option<Result<Self, UnknownScript>> {
        let start = memchr::memmem::find(body, BODY_MARK)? + BODY_MARK.len();
        let rest = &body[start..];
        let text = &rest[..memchr::memchr(BODY_END, rest)?];
        Some(String::from_utf8_lossy(text).parse())
    }

    /// The same script as a body has it, somewhere in a text.
    pub(crate) fn for_body(self) -> String {
        format!("{}{self}{}", String::from_utf8_lossy(BODY_MARK), char::from(BODY_END))
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer => write!(f, "answer"),
            Self::Stream { chunks, interval_us } => write!(f, "stream {chunks} {interval_us}"),
            Self::Idle => write!(f, "idle"),
            Self::Flood { chunks } => write!(f, "flood {chunks}"),
            Self::Truncate { after_chunks, cut: Cut::BetweenChunks } => {
                write!(f, "truncate {after_chunks} between")
            }
            Self::Truncate { after_chunks, cut: Cut::InsideChunk } => {
                write!(f, "truncate {after_chunks} inside")
            }
            Self::CloseAfter { delay_us } => write!(f, "close-after {delay_us}"),
        }
    }
}

impl FromStr for Script {
    type Err = UnknownScript;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownScript(text.to_owned());
        let mut words = text.split_ascii_whitespace();
        let script = {
            let verb = words.next().ok_or_else(unknown)?;
            let mut number = || words.next().and_then(|word| word.parse::<u32>().ok()).ok_or_else(unknown);
            match verb {
                "answer" => Self::Answer,
                "stream" => Self::Stream { chunks: number()?.max(1), interval_us: number()? },
                "idle" => Self::Idle,
                "flood" => Self::Flood { chunks: number()?.max(1) },
                "truncate" => {
                    let after_chunks = number()?;
                    let cut = match words.next() {
                        Some("between") => Cut::BetweenChunks,
                        Some("inside") => Cut::InsideChunk,
                        _ => return Err(unknown()),
                    };
                    Self::Truncate { after_chunks, cut }
                }
                "close-after" => Self::CloseAfter { delay_us: number()? },
                _ => return Err(unknown()),
            }
        };
        if words.next().is_some() { Err(unknown()) } else { Ok(script) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_survives_the_header() {
        for script in [
            Script::Answer,
            Script::Stream { chunks: 100, interval_us: 10_000 },
            Script::Idle,
            Script::Flood { chunks: 9 },
            Script::Truncate { after_chunks: 5, cut: Cut::BetweenChunks },
            Script::Truncate { after_chunks: 0, cut: Cut::InsideChunk },
            Script::CloseAfter { delay_us: 1_000 },
        ] {
            assert_eq!(script.to_string().parse(), Ok(script));
            let body = format!(r#"{{"content":"{} word","model":"m"}}"#, script.for_body());
            assert_eq!(Script::in_body(body.as_bytes()), Some(Ok(script)));
        }
        assert_eq!(Script::in_body(br#"{"content":"x-bench answer"}"#), None);
        assert!(Script::in_body(br#"{"content":"x-bench dance;"}"#).is_some_and(|script| script.is_err()));
    }

    #[test]
    fn what_is_no_script_is_refused() {
        for text in
            ["", "run", "stream", "stream 1", "stream x 1", "truncate 5", "truncate 5 late", "idle now"]
        {
            assert!(text.parse::<Script>().is_err(), "{text:?} was accepted");
        }
    }
}
