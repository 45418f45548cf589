//! Where a request ends, seen from the bytes that pass by.
//!
//! The server decides what a request is; this only finds its last byte, by the same rules (RFC 9112 section 6). A
//! request that the server refuses ends its connection, so a disagreement about a malformed one has no effect.

/// Longest head that is looked at; the server takes no longer one.
const MAX_HEAD_BYTES: usize = 128 * 1024;

/// Finds the ends of requests in a stream of bytes, cut anywhere.
#[derive(Debug, Default)]
pub(super) struct RequestFraming {
    state: State,
    /// The head so far, while it is incomplete.
    head: Vec<u8>,
    /// Where the last line of it begins.
    line: usize,
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

    /// Whether no request has begun that has not ended.
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Takes bytes of the head, up to its end; decides what follows it.
    fn take_head(&mut self, bytes: &[u8]) -> usize {
        if self.head.is_empty()
            && let Some((end, next)) = whole_head(bytes)
        {
            // The usual case: the whole head at once, which needs no copy and is looked through once.
            self.state = next;
            return end;
        }
        let known = self.head.len();
        self.head.extend_from_slice(bytes);
        match end_of_head(&self.head[self.line..]) {
            HeadEnd::At(end) => {
                let end = self.line + end;
                self.state = whole_head(&self.head[..end]).map_or(State::Opaque, |(_, next)| next);
                self.forget_head();
                end - known
            }
            HeadEnd::Missing { last_line } => {
                self.line += last_line;
                if self.head.len() > MAX_HEAD_BYTES {
                    self.state = State::Opaque;
                    self.forget_head();
                }
                bytes.len()
            }
        }
    }

    fn forget_head(&mut self) {
        self.head = Vec::new();
        self.line = 0;
    }
}

/// Where a head ends.
enum HeadEnd {
    /// Just behind its empty line.
    At(usize),
    /// Not yet; where the last line begins.
    Missing { last_line: usize },
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

/// Looks for the empty line. Lines end with LF, with or without CR before it, as the server reads them.
fn end_of_head(bytes: &[u8]) -> HeadEnd {
    let mut last_line = 0;
    for newline in memchr::memchr_iter(b'\n', bytes) {
        if matches!(&bytes[last_line..newline], b"" | b"\r") {
            return HeadEnd::At(newline + 1);
        }
        last_line = newline + 1;
    }
    HeadEnd::Missing { last_line }
}

/// Where a head that is all there ends, and what follows it; [`State::Idle`] for a request without a body.
fn whole_head(bytes: &[u8]) -> Option<(usize, State)> {
    let mut fields = Fields::default();
    let mut start = 0;
    for newline in memchr::memchr_iter(b'\n', bytes) {
        let line = &bytes[start..newline];
        if matches!(line, b"" | b"\r") {
            return Some((newline + 1, fields.next()));
        }
        // The first line is the request's, and has no name before a colon that matters.
        if start > 0 {
            fields.look(line);
        }
        start = newline + 1;
    }
    None
}

/// What the lines of a head say about the body.
#[derive(Debug, Default)]
struct Fields {
    left: u64,
    /// Nothing that follows counts any more.
    settled: Option<State>,
}

// === impl Fields ===

impl Fields {
    /// Takes a line, without its line feed.
    fn look(&mut self, line: &[u8]) {
        // Looking for the colon costs more than seeing that it does not matter where it is.
        if self.settled.is_some() || !matches!(line.first(), Some(b'C' | b'c' | b'T' | b't')) {
            return;
        }
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let chunked = value.to_ascii_lowercase().ends_with(b"chunked");
            let chunks = State::Chunk(Chunk::Size { size: 0, in_extension: false });
            self.settled = Some(if chunked { chunks } else { State::Opaque });
        } else if name.eq_ignore_ascii_case(b"content-length") {
            match std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
                Some(length) => self.left = length,
                None => self.settled = Some(State::Opaque),
            }
        }
    }

    /// What follows the head.
    fn next(&self) -> State {
        let sized = if self.left == 0 { State::Idle } else { State::Body { left: self.left } };
        self.settled.unwrap_or(sized)
    }
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
    fn lines_may_end_without_a_carriage_return() {
        let request = b"POST /a HTTP/1.1\nHost: x\ncontent-length: 2\n\nhi".repeat(2);
        for piece in 1..=request.len() {
            assert_eq!(ends(&request, piece), [request.len() / 2, request.len()], "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_request_has_no_end() {
        for bytes in [
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
        assert!(!framing.is_in_head() && framing.is_idle());
        framing.push(b"\r\nGET / HT");
        assert!(framing.is_in_head() && !framing.is_idle());
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
