//! An incremental reader of HTTP/1.1 responses: whatever pieces the socket gives, body bytes come out in order and the
//! end of the message is told apart from the end of the connection. Does no I/O.

/// Headers an answer may have.
const MAX_HEADERS: usize = 64;
/// Longest size line or trailer line accepted; a longer one is no chunked body.
const MAX_LINE: usize = 256;

/// Reads one response at a time.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    status: u16,
    keep_alive: bool,
}

/// Where in the message the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Sized { left: usize },
    ChunkSize,
    ChunkData { left: usize },
    ChunkEnd,
    Trailer,
    UntilClose,
    Done,
}

/// What the bytes so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The message goes on.
    More,
    /// The message is complete.
    Done,
}

/// Bytes that are no HTTP/1.1 response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The head cannot be parsed.
    #[error("the response's head is not http/1.1: {0}")]
    Head(#[from] httparse::Error),
    /// A wrong length or chunk size.
    #[error("the response's body is framed wrongly")]
    Framing,
}

// === impl Decoder ===

impl Decoder {
    /// At the start of a response.
    pub(crate) fn new() -> Self {
        Self { state: State::Head, status: 0, keep_alive: true }
    }

    /// The status, 0 before the head is complete.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the connection may carry another response after this one.
    pub(crate) fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the end of the connection is the proper end of the message.
    pub(crate) fn ends_at_close(&self) -> bool {
        matches!(self.state, State::UntilClose | State::Done)
    }

    /// Takes what it can use from the front of `input` and gives body bytes to `body`.
    pub(crate) fn push(
        &mut self,
        input: &mut Vec<u8>,
        body: &mut impl FnMut(&[u8]),
    ) -> Result<Progress, DecodeError> {
        let mut used = 0;
        let progress = loop {
            let rest = &input[used..];
            match self.state {
                State::Head => match self.head(rest)? {
                    Some(head_len) => used += head_len,
                    None => break Progress::More,
                },
                State::Sized { left } => {
                    let taken = left.min(rest.len());
                    give(&rest[..taken], body);
                    used += taken;
                    if taken < left {
                        self.state = State::Sized { left: left - taken };
                        break Progress::More;
                    }
                    self.state = State::Done;
                }
                State::ChunkSize => match httparse::parse_chunk_size(rest) {
                    Ok(httparse::Status::Complete((line_len, size))) => {
                        used += line_len;
                        let left = usize::try_from(size).map_err(|_| DecodeError::Framing)?;
                        self.state = if left == 0 { State::Trailer } else { State::ChunkData { left } };
                    }
                    Ok(httparse::Status::Partial) if rest.len() < MAX_LINE => break Progress::More,
                    _ => return Err(DecodeError::Framing),
                },
                State::ChunkData { left } => {
                    let taken = left.min(rest.len());
                    give(&rest[..taken], body);
                    used += taken;
                    if taken < left {
                        self.state = State::ChunkData { left: left - taken };
                        break Progress::More;
                    }
                    self.state = State::ChunkEnd;
                }
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        used += 2;
                        self.state = State::ChunkSize;
                    }
                    [] | [b'\r'] => break Progress::More,
                    _ => return Err(DecodeError::Framing),
                },
                State::Trailer => match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        used += end + 1;
                        if end <= 1 {
                            self.state = State::Done;
                        }
                    }
                    None if rest.len() < MAX_LINE => break Progress::More,
                    None => return Err(DecodeError::Framing),
                },
                State::UntilClose => {
                    give(rest, body);
                    used = input.len();
                    break Progress::More;
                }
                State::Done => break Progress::Done,
            }
        };
        input.drain(..used);
        Ok(progress)
    }

    fn head(&mut self, bytes: &[u8]) -> Result<Option<usize>, DecodeError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head_len) = response.parse(bytes)? else {
            return Ok(None);
        };
        let status = response.code.unwrap_or(0);
        if (100..200).contains(&status) {
            return Ok(Some(head_len));
        }
        self.status = status;
        self.keep_alive = response.version == Some(1);
        self.state = if matches!(status, 204 | 304) { State::Done } else { State::UntilClose };
        for header in &*response.headers {
            let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
            if header.name.eq_ignore_ascii_case("content-length") {
                let left = value.parse().map_err(|_| DecodeError::Framing)?;
                self.state = State::Sized { left };
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                if !value.eq_ignore_ascii_case("chunked") {
                    return Err(DecodeError::Framing);
                }
                self.state = State::ChunkSize;
            } else if header.name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
                self.keep_alive = false;
            }
        }
        if self.state == State::UntilClose {
            self.keep_alive = false;
        }
        Ok(Some(head_len))
    }
}

fn give(bytes: &[u8], body: &mut impl FnMut(&[u8])) {
    if !bytes.is_empty() {
        body(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in pieces of `step` bytes; the body, the progress and what was left over.
    fn decode(text: &[u8], step: usize) -> Result<(Vec<u8>, Progress, Decoder, usize), DecodeError> {
        let mut decoder = Decoder::new();
        let (mut body, mut input, mut progress) = (Vec::new(), Vec::new(), Progress::More);
        for piece in text.chunks(step) {
            input.extend_from_slice(piece);
            progress = decoder.push(&mut input, &mut |bytes| body.extend_from_slice(bytes))?;
        }
        Ok((body, progress, decoder, input.len()))
    }

    #[test]
    fn a_chunked_answer_is_the_same_however_it_is_split() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\na: b\r\n\r\n";
        for step in 1..=text.len() {
            let (body, progress, decoder, left) = decode(text, step).unwrap();
            assert_eq!((body.as_slice(), progress, left), (b"hello world".as_slice(), Progress::Done, 0));
            assert_eq!((decoder.status(), decoder.keep_alive()), (200, true));
        }
    }

    #[test]
    fn a_sized_answer_leaves_the_next_one_alone() {
        let text = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nnoHTTP/1.1";
        let (body, progress, decoder, left) = decode(text, text.len()).unwrap();
        assert_eq!((body.as_slice(), progress, left), (b"no".as_slice(), Progress::Done, 8));
        assert_eq!((decoder.status(), decoder.keep_alive()), (503, false));
    }

    #[test]
    fn a_cut_chunked_answer_is_not_complete() {
        for text in [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ] {
            let (_, progress, decoder, _) = decode(text.as_bytes(), 7).unwrap();
            assert_eq!(progress, Progress::More);
            assert!(!decoder.ends_at_close());
        }
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let (body, progress, decoder, _) = decode(b"HTTP/1.1 200 OK\r\n\r\nall of it", 4).unwrap();
        assert_eq!((body.as_slice(), progress), (b"all of it".as_slice(), Progress::More));
        assert!(decoder.ends_at_close());
        assert!(!decoder.keep_alive());
    }

    #[test]
    fn an_interim_answer_is_skipped() {
        let text = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let (_, progress, decoder, _) = decode(text, 3).unwrap();
        assert_eq!((progress, decoder.status()), (Progress::Done, 200));
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(decode(b"\0\0", 2).is_err());
        assert!(decode(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 64).is_err());
        assert!(decode(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", 64).is_err());
    }
}
