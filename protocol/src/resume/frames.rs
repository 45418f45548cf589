//! Cutting a stream into whole frames, whatever pieces it comes in.

use bytes::Bytes;

/// The longest unfinished frame that is held back, in bytes. Content frames are a few hundred; only the last frame
/// of `/api/generate`, which may carry a context of thousands of numbers, comes near.
pub(super) const MAX_HELD: usize = 64 * 1024;

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One JSON object per line.
    Lines,
    /// Server-sent events: blocks that end with a blank line. Lines end with LF or CRLF, as every engine writes
    /// them.
    Events,
}

/// Holds back the frame that is not finished yet.
#[derive(Clone, Debug)]
pub(super) struct Cutter {
    framing: Framing,
    held: Vec<u8>,
    /// No frame ends in this much of `held`.
    scanned: usize,
}

/// The whole frames of some bytes, ends included.
pub(super) struct Frames<'a> {
    framing: Framing,
    rest: &'a [u8],
}

// === impl Framing ===

impl Framing {
    /// The length of the first frame, if it is whole. No frame ends in the first `scanned` bytes.
    fn end(self, bytes: &[u8], scanned: usize) -> Option<usize> {
        memchr::memchr_iter(b'\n', bytes.get(scanned..)?).map(|at| scanned + at).find_map(|newline| {
            let line = &bytes[..newline];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let ends = self == Self::Lines || line.is_empty() || line.ends_with(b"\n");
            ends.then_some(newline + 1)
        })
    }

    /// The whole frames in `bytes`; an unfinished one at the end is left out.
    pub(super) fn frames(self, bytes: &[u8]) -> Frames<'_> {
        Frames { framing: self, rest: bytes }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (frame, rest) = self.rest.split_at(self.framing.end(self.rest, 0)?);
        self.rest = rest;
        Some(frame)
    }
}

// === impl Cutter ===

impl Cutter {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, held: Vec::new(), scanned: 0 }
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Takes the next piece; gives the frames that are whole by now, and holds back the rest. Bytes are copied only
    /// where a frame comes in pieces.
    pub(super) fn push(&mut self, bytes: Bytes) -> Bytes {
        let mut bytes = bytes;
        let mut scanned = 0;
        if !self.held.is_empty() {
            self.held.extend_from_slice(&bytes);
            if self.framing.end(&self.held, self.scanned).is_none() {
                self.scanned = self.held.len();
                return Bytes::new();
            }
            scanned = self.scanned;
            bytes = Bytes::from(std::mem::take(&mut self.held));
        }
        let mut whole = 0;
        while let Some(length) = self.framing.end(&bytes[whole..], scanned) {
            whole += length;
            scanned = 0;
        }
        self.held.extend_from_slice(&bytes[whole..]);
        self.scanned = self.held.len();
        bytes.truncate(whole);
        bytes
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Gives the unfinished frame away.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.scanned = 0;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(framing: Framing, pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
        let mut cutter = Cutter::new(framing);
        let mut whole = Vec::new();
        for piece in pieces {
            whole.extend_from_slice(&cutter.push(Bytes::copy_from_slice(piece)));
        }
        (whole, cutter.take())
    }

    #[test]
    fn a_frame_is_given_when_it_is_whole() {
        let lines = |pieces: &[&[u8]]| cut(Framing::Lines, pieces);
        assert_eq!(lines(&[b"{}\n{}"]), (b"{}\n".to_vec(), b"{}".to_vec()));
        assert_eq!(lines(&[b"{}", b"\n"]), (b"{}\n".to_vec(), b"".to_vec()));
        let events = |pieces: &[&[u8]]| cut(Framing::Events, pieces);
        assert_eq!(events(&[b"data: 1\n\ndata: 2\n"]), (b"data: 1\n\n".to_vec(), b"data: 2\n".to_vec()));
        assert_eq!(events(&[b"data: 1\r\n\r", b"\n"]), (b"data: 1\r\n\r\n".to_vec(), b"".to_vec()));
        assert_eq!(events(&[b"a: 1\ndata: 2\n", b"\nx"]), (b"a: 1\ndata: 2\n\n".to_vec(), b"x".to_vec()));
    }

    #[test]
    fn frames_are_walked_one_by_one() {
        let frames: Vec<&[u8]> = Framing::Events.frames(b"\ndata: 1\n\n: c\r\n\r\ndata").collect();
        assert_eq!(frames, [b"\n".as_slice(), b"data: 1\n\n", b": c\r\n\r\n"]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'x')], 0..80),
            cuts in proptest::collection::vec(0usize..80, 0..6),
        ) {
            for framing in [Framing::Lines, Framing::Events] {
                let whole = cut(framing, &[&bytes]);
                let walked: Vec<u8> = framing.frames(&bytes).flatten().copied().collect();
                prop_assert_eq!(&walked, &whole.0);
                prop_assert_eq!(&cut(framing, &super::super::tests::pieces(&bytes, &cuts)), &whole);
                let single: Vec<&[u8]> = bytes.chunks(1).collect();
                prop_assert_eq!(&cut(framing, &single), &whole);
            }
        }
    }
}
