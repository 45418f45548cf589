//! Cutting a backend's stream into frames, whatever pieces it comes in.

use std::ops::ControlFlow;

use super::Broken;

/// The longest frame that is read, in bytes: what Ollama's own clients take in one line (`api/client.go`,
/// `maxBufferSize`). A longer one is an error and not memory.
pub const MAX_FRAME: usize = 8 * 1024 * 1024;

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON object per line.
    Lines,
    /// Server-sent events.
    Events,
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The name of a server-sent event; empty where there is none.
    pub event: &'a str,
    /// The line, or the data of the event with its lines joined by `\n`. Never empty.
    pub data: &'a [u8],
}

/// Cuts bytes into frames. Blank lines, comments and events without data are none.
#[derive(Clone, Debug)]
pub struct Reader {
    framing: Framing,
    /// The current line, as far as it has come in earlier pieces.
    line: Vec<u8>,
    /// The event's name and data, as far as its lines have come.
    event: String,
    data: Vec<u8>,
    has_data: bool,
    /// The last line ended with CR at the end of a piece: an LF that comes next belongs to it.
    after_cr: bool,
    started: bool,
}

// === impl Reader ===

impl Reader {
    /// Starts at the first byte of a body.
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            line: Vec::new(),
            event: String::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            started: false,
        }
    }

    /// Takes the next piece, and gives each frame that is whole by now to `each`, until that breaks.
    pub fn push<F>(&mut self, mut bytes: &[u8], mut each: F) -> Result<(), Broken>
    where
        F: FnMut(Frame<'_>) -> ControlFlow<()>,
    {
        loop {
            if self.after_cr && !bytes.is_empty() {
                self.after_cr = false;
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
            let end = match self.framing {
                Framing::Lines => memchr::memchr(b'\n', bytes),
                // The specification of server-sent events lets lines end with CR alone, too.
                Framing::Events => memchr::memchr2(b'\n', b'\r', bytes),
            };
            let Some(end) = end else { return self.keep(bytes) };
            let (piece, rest) = (&bytes[..end], &bytes[end + 1..]);
            self.after_cr = self.framing == Framing::Events && bytes[end] == b'\r';
            bytes = rest;
            let flow = if self.line.is_empty() {
                self.check(piece.len())?;
                self.end_line(piece, &mut each)
            } else {
                self.keep(piece)?;
                let mut line = std::mem::take(&mut self.line);
                let flow = self.end_line(&line, &mut each);
                line.clear();
                self.line = line;
                flow
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }

    /// The body has ended: gives what is there of the last frame, as if its end had come.
    pub fn finish<F>(&mut self, mut each: F)
    where
        F: FnMut(Frame<'_>) -> ControlFlow<()>,
    {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() && self.end_line(&line, &mut each).is_break() {
            return;
        }
        if self.framing == Framing::Events {
            let _ = self.end_event(&mut each);
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.check(bytes.len())?;
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn check(&self, more: usize) -> Result<(), Broken> {
        if self.line.len() + self.data.len() + more > MAX_FRAME { Err(Broken::TooLong) } else { Ok(()) }
    }

    fn end_line<F>(&mut self, line: &[u8], each: &mut F) -> ControlFlow<()>
    where
        F: FnMut(Frame<'_>) -> ControlFlow<()>,
    {
        if self.framing == Framing::Lines {
            let data = line.trim_ascii();
            return if data.is_empty() { ControlFlow::Continue(()) } else { each(Frame { event: "", data }) };
        }
        // A byte order mark may come first.
        let line = if self.started { line } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) };
        self.started = true;
        if line.is_empty() {
            return self.end_event(each);
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn end_event<F>(&mut self, each: &mut F) -> ControlFlow<()>
    where
        F: FnMut(Frame<'_>) -> ControlFlow<()>,
    {
        let mut data = std::mem::take(&mut self.data);
        self.has_data = false;
        let flow = match data.trim_ascii() {
            [] => ControlFlow::Continue(()),
            data => each(Frame { event: &self.event, data }),
        };
        self.event.clear();
        data.clear();
        // Its capacity is used again.
        self.data = data;
        flow
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<(String, String)>, Broken> {
        let mut frames = Vec::new();
        let mut reader = Reader::new(framing);
        let mut each = |frame: Frame<'_>| {
            frames.push((frame.event.to_owned(), String::from_utf8_lossy(frame.data).into_owned()));
            ControlFlow::Continue(())
        };
        for piece in pieces {
            reader.push(piece, &mut each)?;
        }
        reader.finish(&mut each);
        Ok(frames)
    }

    fn data(framing: Framing, stream: &str) -> Vec<String> {
        frames(framing, &[stream.as_bytes()]).unwrap().into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn lines_are_frames_and_blank_ones_are_not() {
        assert_eq!(
            data(Framing::Lines, "{\"a\":1}\r\n\n  \n{\"b\":2}\n{\"c\""),
            ["{\"a\":1}", "{\"b\":2}", "{\"c\""]
        );
    }

    #[test]
    fn events_are_read_as_the_specification_says() {
        let stream =
            "\u{feff}: comment\n\nevent: message_start\ndata: {\ndata:}\nid: 7\n\ndata\n\ndata:[DONE]";
        let read = frames(Framing::Events, &[stream.as_bytes()]).unwrap();
        assert_eq!(
            read,
            [("message_start".to_owned(), "{\n}".to_owned()), (String::new(), "[DONE]".to_owned())]
        );
        for end in ["\n", "\r\n", "\r"] {
            assert_eq!(
                data(Framing::Events, &format!("data: a{end}{end}data: b{end}{end}")),
                ["a", "b"],
                "{end:?}"
            );
        }
    }

    #[test]
    fn a_frame_over_the_bound_is_an_error_and_not_memory() {
        let half = vec![b'x'; MAX_FRAME / 2 + 1];
        assert_eq!(frames(Framing::Lines, &[&half, &half]), Err(Broken::TooLong));
        assert_eq!(frames(Framing::Lines, &[&[&half[..], &half[..], b"\n"].concat()]), Err(Broken::TooLong));
        let line = [b"data: ", &half[..], b"\n"].concat();
        assert_eq!(frames(Framing::Events, &[&line, &line]), Err(Broken::TooLong));
        assert!(frames(Framing::Lines, &[&half, b"\n", &half]).is_ok());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            bytes in proptest::collection::vec(prop_oneof![
                Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), Just(b'a'), Just(b't'), any::<u8>()
            ], 0..120),
            mut cuts in proptest::collection::vec(0usize..120, 0..6),
            prefix in prop_oneof![Just(&b""[..]), Just(&b"data: a\r\n\r\nevent: x\rdata:b\n\n"[..])],
        ) {
            let bytes = [prefix, &bytes].concat();
            cuts.sort_unstable();
            for framing in [Framing::Lines, Framing::Events] {
                let mut pieces = Vec::new();
                let mut from = 0;
                for cut in &cuts {
                    let cut = (*cut).clamp(from, bytes.len());
                    pieces.push(&bytes[from..cut]);
                    from = cut;
                }
                pieces.push(&bytes[from..]);
                let single: Vec<&[u8]> = bytes.chunks(1).collect();
                let whole = frames(framing, &[&bytes]);
                prop_assert_eq!(&frames(framing, &pieces), &whole);
                prop_assert_eq!(&frames(framing, &single), &whole);
            }
        }
    }
}
