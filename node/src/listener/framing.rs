//! Where a request ends, seen from the bytes that pass by.
//!
//! The server decides what a request is; this only finds its last byte, by the same rules (RFC 9112 section 6). A
//! request that the server refuses ends its connection, so a disagreement about a malformed one has no effect.

/// Header lines of a request; the server takes fewer.
const MAX_HEADERS: usize = 128;

/// Longest head that is looked at; the server takes no longer one.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// Finds the ends of requests in a stream of bytes, cut anywhere.
#[derive(Debug, Default)]
pub(super) struct RequestFraming {
    state: State,
    /// The head so far, while it is incomplete.
    head: Vec<u8>,
}

/// What the bytes so far come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first byte of a request; blank lines are allowed here.
    #[default]
    Idle,
    Head,
    Body {
        left: u64,
    },
    Chunk(Chunk),
    /// Not a request that has an end: the server will refuse it.
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size {
        size: u64,
        in_extension: bool,
    },
    Data {
        left: u64,
    },
    DataEnd,
    /// After the last chunk: lines until an empty one.
    Trailer {
        line_is_empty: bool,
    },
}

// === impl RequestFraming ===

impl RequestFraming {
    /// Takes the next bytes; how many of them belong to the current request if it ends among them.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match &mut self.state {
                State::Idle => {
                    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                    at += blank;
                    if blank < rest.len() {
                        self.state = State::Head;
                    }
                }
                State::Head => {
                    at += self.take_head(rest);
                    if self.state == State::Idle {
                        return Some(at);
                    }
                }
                State::Body { left } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    at += taken;
                    if *left == 0 {
                        self.state = State::Idle;
                        return Some(at);
                    }
                }
                State::Chunk(chunk) => {
                    let (taken, next) = chunk.push(rest);
                    at += taken;
                    match next {
                        Next::More => {}
                        Next::End => {
                            self.state = State::Idle;
                            return Some(at);
                        }
                        Next::Broken => self.state = State::Opaque,
                    }
                }
                State::Opaque => return None,
            }
        }
        None
    }

    /// Whether the head of a request has begun and not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.state == State::Head
    }

    /// Takes bytes of the head, up to its end; decides what follows it.
    fn take_head(&mut self, bytes: &[u8]) -> usize {
        let known = self.head.len();
        if known == 0
            && let Some(end) = end_of_head(bytes)
        {
            // The usual case: the whole head at once, which needs no copy.
            self.state = after_head(&bytes[..end]);
            return end;
        }
        self.head.extend_from_slice(bytes);
        // The end may begin in what was known before.
        let from = known.saturating_sub(3);
        let Some(end) = end_of_head(&self.head[from..]).map(|end| from + end) else {
            if self.head.len() > MAX_HEAD_BYTES {
                self.state = State::Opaque;
                self.head = Vec::new();
            }
            return bytes.len();
        };
        self.state = after_head(&self.head[..end]);
        self.head = Vec::new();
        end - known
    }
}

enum Next {
    More,
    End,
    Broken,
}

// === impl Chunk ===

impl Chunk {
    /// Takes some bytes, at least one.
    fn push(&mut self, bytes: &[u8]) -> (usize, Next) {
        match *self {
            Self::Size { size, in_extension } => {
                let byte = bytes[0];
                let digit = char::from(byte).to_digit(16).map(u64::from);
                *self = match (byte, digit) {
                    (b'\n', _) if size == 0 => Self::Trailer { line_is_empty: true },
                    (b'\n', _) => Self::Data { left: size },
                    (_, Some(digit)) if !in_extension => match size.checked_mul(16) {
                        Some(shifted) => Self::Size { size: shifted + digit, in_extension },
                        None => return (1, Next::Broken),
                    },
                    _ => Self::Size { size, in_extension: true },
                };
                (1, Next::More)
            }
            Self::Data { left } => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let left = left - taken as u64;
                *self = if left == 0 { Self::DataEnd } else { Self::Data { left } };
                (taken, Next::More)
            }
            Self::DataEnd => {
                if bytes[0] == b'\n' {
                    *self = Self::Size { size: 0, in_extension: false };
                }
                (1, Next::More)
            }
            Self::Trailer { line_is_empty } => {
                let end = match bytes[0] {
                    b'\n' if line_is_empty => Next::End,
                    b'\n' => {
                        *self = Self::Trailer { line_is_empty: true };
                        Next::More
                    }
                    b'\r' => Next::More,
                    _ => {
                        *self = Self::Trailer { line_is_empty: false };
                        Next::More
                    }
                };
                (1, end)
            }
        }
    }
}

/// Just behind the empty line that ends a head.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// What follows a whole head; [`State::Idle`] for a request without a body.
fn after_head(head: &[u8]) -> State {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    if !matches!(request.parse(head), Ok(httparse::Status::Complete(_))) {
        return State::Opaque;
    }
    let mut left = 0;
    for header in &*request.headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            let chunked = header.value.trim_ascii().to_ascii_lowercase().ends_with(b"chunked");
            return if chunked {
                State::Chunk(Chunk::Size { size: 0, in_extension: false })
            } else {
                State::Opaque
            };
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
            let Some(length) = length else { return State::Opaque };
            left = length;
        }
    }
    if left == 0 { State::Idle } else { State::Body { left } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of all requests in `bytes`, which arrive in pieces of this size.
    fn ends(bytes: &[u8], piece: usize) -> Vec<usize> {
        let mut framing = RequestFraming::default();
        let (mut ends, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let until = bytes.len().min(at + piece);
            match framing.push(&bytes[at..until]) {
                Some(taken) => {
                    at += taken;
                    ends.push(at);
                }
                None => at = until,
            }
        }
        ends
    }

    #[test]
    fn requests_end_where_they_end_however_they_arrive() {
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
        let post = "POST /a HTTP/1.1\r\nHost: x\r\ncontent-length: 5\r\n\r\nhello".to_owned();
        let chunked = "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                       5;a=\"b\"\r\nhe\nlo\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n"
            .to_owned();
        let empty = "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".to_owned();
        let mut all = String::new();
        let mut expected = Vec::new();
        for request in [&get, &post, &chunked, &empty, &get, &chunked] {
            all.push_str(request);
            expected.push(all.len());
            all.push_str("\r\n");
        }
        let bytes = all.as_bytes();
        for piece in 1..=bytes.len() {
            assert_eq!(ends(bytes, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_request_has_no_end() {
        for bytes in [
            "NONSENSE\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(ends(bytes.as_bytes(), 7), Vec::<usize>::new(), "{bytes:?}");
        }
    }

    #[test]
    fn an_unfinished_head_is_seen() {
        let mut framing = RequestFraming::default();
        assert!(!framing.is_in_head());
        framing.push(b"\r\nGET / HT");
        assert!(framing.is_in_head());
        framing.push(b"TP/1.1\r\nHost: x\r\n\r\n");
        assert!(!framing.is_in_head());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_ends(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), piece in 1_usize..40,
        ) {
            proptest::prop_assert_eq!(ends(&bytes, piece), ends(&bytes, 1000));
        }
    }
}
