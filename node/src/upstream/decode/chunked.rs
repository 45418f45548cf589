//! The chunked transfer coding (RFC 9112 §7.1) as a state machine that decodes in place.
//!
//! In goes a buffer; its payload is moved together within that same buffer and its place reported. Extensions and
//! trailer lines are read over within bounds and dropped.
//!
//! Strict by choice: every line ends in CRLF, a bare LF or a stray CR is refused wherever it stands, chunk extensions
//! included. Servers have no trouble with that, and lenience here is how two parties come to disagree about where a
//! message ends. Blanks around the size are read over, since RFC 9112 allows them before an extension and some old
//! servers pad sizes.

use std::ops::Range;

use super::body::BodyFault;

/// Bytes of one chunk-size line, extension included, line end excluded.
const MAX_SIZE_LINE_BYTES: u16 = 4096;

/// Decodes one chunked body.
#[derive(Debug, Clone)]
pub(super) struct ChunkedDecoder {
    state: State,
    /// Bytes of the current size line.
    line_bytes: u16,
    /// Bytes of trailer lines that may still come.
    trailer_room: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the first byte of a size line.
    SizeStart,
    /// After at least one digit.
    Size(u64),
    /// After a blank that follows the size.
    SizePadding(u64),
    /// In a chunk extension.
    Extension(u64),
    /// After the CR of a size line.
    SizeLf(u64),
    /// In chunk data with this many bytes to come.
    Data(u64),
    /// After the last byte of chunk data.
    DataCr,
    DataLf,
    /// At the first byte of a trailer line (or of the final empty line).
    TrailerStart,
    Trailer,
    TrailerLf,
    /// After the CR of the final empty line.
    FinalLf,
    End,
}

/// What one pass over a buffer gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChunkedStep {
    /// Where the payload now is.
    pub(super) data: Range<usize>,
    /// How much of the buffer was read; less than all of it only at the end of the body or at a fault.
    pub(super) used: usize,
    /// Found after the payload above; nothing can be decoded any more.
    pub(super) fault: Option<BodyFault>,
}

impl ChunkedDecoder {
    pub(super) fn new(max_trailer_bytes: usize) -> Self {
        Self { state: State::SizeStart, line_bytes: 0, trailer_room: max_trailer_bytes }
    }

    pub(super) fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Reads `buffer` to its end, or to the end of the body, or to a fault.
    pub(super) fn decode(&mut self, buffer: &mut [u8]) -> ChunkedStep {
        let mut data = 0..0;
        let mut at = 0;
        let mut fault = None;
        while at < buffer.len() && self.state != State::End {
            if let State::Data(remaining) = self.state {
                let length = bounded(remaining, buffer.len() - at);
                gather(buffer, &mut data, at..at + length);
                at += length;
                let remaining = remaining - length as u64;
                self.state = if remaining == 0 { State::DataCr } else { State::Data(remaining) };
                continue;
            }
            match self.step(buffer[at]) {
                Ok(next) => self.state = next,
                Err(found) => {
                    fault = Some(found);
                    break;
                }
            }
            at += 1;
        }
        ChunkedStep { data, used: at, fault }
    }

    /// One byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, BodyFault> {
        match self.state {
            State::SizeStart => {
                self.line_bytes = 0;
                let digit =
                    hex_digit(byte).ok_or(BodyFault::BadChunk("chunk size is not a hexadecimal number"))?;
                self.size_line(State::Size(digit))
            }
            State::Size(size) => match byte {
                b'\r' => Ok(State::SizeLf(size)),
                b';' => self.size_line(State::Extension(size)),
                b' ' | b'\t' => self.size_line(State::SizePadding(size)),
                _ => {
                    let digit = hex_digit(byte)
                        .ok_or(BodyFault::BadChunk("chunk size is not a hexadecimal number"))?;
                    let size = size.checked_mul(16).ok_or(BodyFault::BadChunk("chunk size overflows"))?;
                    self.size_line(State::Size(size | digit))
                }
            },
            State::SizePadding(size) => match byte {
                b'\r' => Ok(State::SizeLf(size)),
                b';' => self.size_line(State::Extension(size)),
                b' ' | b'\t' => self.size_line(State::SizePadding(size)),
                _ => Err(BodyFault::BadChunk("unexpected byte after a chunk size")),
            },
            State::Extension(size) => match byte {
                b'\r' => Ok(State::SizeLf(size)),
                b'\n' => Err(BodyFault::BadChunk("bare line feed in a chunk extension")),
                _ => self.size_line(State::Extension(size)),
            },
            State::SizeLf(0) => expect_lf(byte, State::TrailerStart),
            State::SizeLf(size) => expect_lf(byte, State::Data(size)),
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataCr => Err(BodyFault::BadChunk("chunk data is longer than its size")),
            State::DataLf => expect_lf(byte, State::SizeStart),
            State::TrailerStart if byte == b'\r' => Ok(State::FinalLf),
            State::TrailerStart | State::Trailer => match byte {
                b'\r' => self.trailer(State::TrailerLf),
                b'\n' => Err(BodyFault::BadChunk("bare line feed in a trailer")),
                _ => self.trailer(State::Trailer),
            },
            State::TrailerLf => {
                let next = expect_lf(byte, State::TrailerStart)?;
                self.trailer(next)
            }
            State::FinalLf => expect_lf(byte, State::End),
            // Not reached: `decode` handles both itself.
            State::Data(_) | State::End => Ok(self.state),
        }
    }

    fn size_line(&mut self, next: State) -> Result<State, BodyFault> {
        self.line_bytes += 1;
        if self.line_bytes > MAX_SIZE_LINE_BYTES {
            Err(BodyFault::BadChunk("chunk-size line is too long"))
        } else {
            Ok(next)
        }
    }

    fn trailer(&mut self, next: State) -> Result<State, BodyFault> {
        self.trailer_room = self.trailer_room.checked_sub(1).ok_or(BodyFault::TrailerTooLarge)?;
        Ok(next)
    }
}

/// Appends the bytes of `run` to the payload collected so far, moving them only if there is a gap between the two.
fn gather(buffer: &mut [u8], data: &mut Range<usize>, run: Range<usize>) {
    if data.start == data.end {
        *data = run;
        return;
    }
    let length = run.len();
    buffer.copy_within(run, data.end);
    data.end += length;
}

fn expect_lf(byte: u8, next: State) -> Result<State, BodyFault> {
    if byte == b'\n' { Ok(next) } else { Err(BodyFault::BadChunk("carriage return without line feed")) }
}

fn hex_digit(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// The smaller of the two, which fits the buffer.
pub(super) fn bounded(remaining: u64, available: usize) -> usize {
    usize::try_from(remaining).map_or(available, |remaining| remaining.min(available))
}
