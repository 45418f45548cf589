//! Incremental decoder of HTTP/1.1 chunked bodies (RFC 9112 §7.1), for both ends of this crate: the simulated backend
//! reads requests with it and the raw client reads answers. Bytes in, [`Piece`]s out; it shows every boundary, chunk
//! extension and trailer, and knows nothing of sockets.

use bytes::{Buf, Bytes, BytesMut};

/// A chunk-size line or trailer longer than this is refused.
const LINE_LIMIT_BYTES: usize = 16 * 1024;

/// What the decoder found next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A chunk-size line, with the extension after the size (`;a=b`) or an empty string.
    Start {
        /// What follows the size on its line.
        extension: String,
    },
    /// Payload bytes of the current chunk; one chunk may come in several.
    Data(Bytes),
    /// The chunk is complete, its line end included.
    End,
    /// A field of the trailer section.
    Trailer(String, String),
    /// The body is complete. Nothing comes after this.
    Finished,
}

/// Why bytes are not a chunked body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    /// The size line is not hexadecimal.
    #[error("invalid chunk size line {0:?}")]
    Size(String),
    /// Chunk data is not followed by CR LF.
    #[error("chunk data is not followed by CR LF")]
    LineEnd,
    /// A line exceeds the limit.
    #[error("line of more than {LINE_LIMIT_BYTES} bytes in a chunked body")]
    TooLong,
    /// A trailer line without a colon.
    #[error("malformed trailer {0:?}")]
    Trailer(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data { left: u64 },
    DataEnd,
    Trailers,
    Finished,
}

/// The decoder's state between reads.
#[derive(Debug)]
pub(crate) struct ChunkDecoder {
    state: State,
}

impl ChunkDecoder {
    pub(crate) fn new() -> Self {
        Self { state: State::Size }
    }

    /// Takes the next piece from the front of `input`; `None` when more bytes are needed.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, ChunkError> {
        match self.state {
            State::Size => self.size(input),
            State::Data { left } => Ok(self.data(left, input)),
            State::DataEnd => self.data_end(input),
            State::Trailers => self.trailer(input),
            State::Finished => Ok(Some(Piece::Finished)),
        }
    }

    fn size(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, ChunkError> {
        let Some(line) = take_line(input)? else { return Ok(None) };
        let digits = line.find([';', ' ', '\t']).unwrap_or(line.len());
        let (size, extension) = line.split_at(digits);
        let well_formed = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = well_formed.then(|| u64::from_str_radix(size, 16).ok()).flatten();
        let Some(size) = size else { return Err(ChunkError::Size(line)) };
        self.state = if size == 0 { State::Trailers } else { State::Data { left: size } };
        if size == 0 { self.next(input) } else { Ok(Some(Piece::Start { extension: extension.to_owned() })) }
    }

    fn data(&mut self, left: u64, input: &mut BytesMut) -> Option<Piece> {
        if input.is_empty() {
            return None;
        }
        let take = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let data = input.split_to(take).freeze();
        let left = left - take as u64;
        self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
        Some(Piece::Data(data))
    }

    fn data_end(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, ChunkError> {
        if input.len() < 2 {
            return Ok(None);
        }
        if !input.starts_with(b"\r\n") {
            return Err(ChunkError::LineEnd);
        }
        input.advance(2);
        self.state = State::Size;
        Ok(Some(Piece::End))
    }

    fn trailer(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, ChunkError> {
        let Some(line) = take_line(input)? else { return Ok(None) };
        if line.is_empty() {
            self.state = State::Finished;
            return Ok(Some(Piece::Finished));
        }
        let Some((name, value)) = line.split_once(':') else { return Err(ChunkError::Trailer(line)) };
        Ok(Some(Piece::Trailer(name.to_owned(), value.trim().to_owned())))
    }
}

/// One line without its CR LF (a bare LF is accepted), or `None` when it is not complete.
fn take_line(input: &mut BytesMut) -> Result<Option<String>, ChunkError> {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return if input.len() > LINE_LIMIT_BYTES { Err(ChunkError::TooLong) } else { Ok(None) };
    };
    if end > LINE_LIMIT_BYTES {
        return Err(ChunkError::TooLong);
    }
    let line = input.split_to(end + 1);
    let line = String::from_utf8_lossy(&line);
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(wire: &[u8]) -> Result<Vec<Piece>, ChunkError> {
        let mut decoder = ChunkDecoder::new();
        let mut input = BytesMut::from(wire);
        let mut pieces = Vec::new();
        while let Some(piece) = decoder.next(&mut input)? {
            let finished = piece == Piece::Finished;
            pieces.push(piece);
            if finished {
                break;
            }
        }
        Ok(pieces)
    }

    #[test]
    fn extensions_boundaries_and_trailers_are_shown() {
        let pieces = decode(b"3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nX-T: v\r\n\r\n");
        let expected = vec![
            Piece::Start { extension: ";a=b".to_owned() },
            Piece::Data(Bytes::from_static(b"abc")),
            Piece::End,
            Piece::Start { extension: String::new() },
            Piece::Data(Bytes::from_static(b"d")),
            Piece::End,
            Piece::Trailer("X-T".to_owned(), "v".to_owned()),
            Piece::Finished,
        ];
        assert_eq!(pieces, Ok(expected));
    }

    #[test]
    fn the_payload_is_the_same_wherever_the_input_is_cut() {
        let wire = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        for cut in 0..wire.len() {
            let mut decoder = ChunkDecoder::new();
            let mut input = BytesMut::new();
            let mut payload = Vec::new();
            let mut finished = false;
            for part in [&wire[..cut], &wire[cut..]] {
                input.extend_from_slice(part);
                while let Some(piece) = decoder.next(&mut input).unwrap() {
                    match piece {
                        Piece::Data(data) => payload.extend_from_slice(&data),
                        Piece::Finished => {
                            finished = true;
                            break;
                        }
                        _ => {}
                    }
                }
            }
            assert_eq!((payload.as_slice(), finished), (b"abcde".as_slice(), true), "cut at {cut}");
        }
    }

    #[test]
    fn a_size_that_is_not_hexadecimal_is_an_error() {
        assert_eq!(decode(b"zz\r\n"), Err(ChunkError::Size("zz".to_owned())));
        assert_eq!(decode(b"+3\r\nabc\r\n"), Err(ChunkError::Size("+3".to_owned())));
        assert_eq!(decode(b"3\r\nabcd\r\n"), Err(ChunkError::LineEnd));
    }
}
