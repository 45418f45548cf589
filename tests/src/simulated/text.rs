//! What a simulated model says: the same pieces for the same request, always.

use std::sync::Arc;

use super::knobs::{Knobs, TextSource};

/// The fixed word list; 22 words, so that an answer of default length is one whole round.
pub const WORDS: [&str; 22] = [
    " the", " quick", " brown", " fox", " jumps", " over", " lazy", " dog", " and", " counts", " one",
    " two", " three", " four", " five", " six", " seven", " eight", " nine", " ten", " then", " stops",
];

/// The pieces of an answer by index; each is one token and one frame.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pieces: Arc<[String]>,
    /// How many pieces are said; `None` never stops.
    length: Option<u64>,
    /// Pieces said already, and bytes of the one after them.
    begun: (u64, usize),
}

impl Text {
    /// The answer to a prompt.
    pub(super) fn of(knobs: &Knobs, prompt: &str) -> Self {
        let words = || WORDS.map(str::to_owned).to_vec();
        let pieces = match (&knobs.text, knobs.frame_bytes) {
            (TextSource::Words, None) => words(),
            (TextSource::Words, Some(bytes)) => vec![filler(bytes)],
            (TextSource::Echo, bytes) => split(prompt, bytes),
            (TextSource::Fixed(text), bytes) => split(text, bytes),
        };
        let length = match knobs.text {
            TextSource::Words => knobs.tokens,
            TextSource::Echo | TextSource::Fixed(_) => pieces.len() as u64,
        };
        let endless = knobs.endless && !pieces.is_empty();
        Self { pieces: pieces.into(), length: (!endless).then_some(length), begun: (0, 0) }
    }

    /// Goes on where this leaves off, if it ends with the beginning of the answer; else the answer starts at its start.
    pub(super) fn go_on_from(&mut self, said: &str) {
        let mut after_space = true;
        let mut word_starts = said.char_indices().filter_map(|(at, character)| {
            let starts = after_space || character.is_whitespace();
            after_space = character.is_whitespace();
            starts.then_some(at)
        });
        self.begun = word_starts.find_map(|at| self.place_after(&said[at..])).unwrap_or_default();
    }

    /// Whether it goes on rather than starts.
    pub(super) fn is_begun(&self) -> bool {
        self.begun != (0, 0)
    }

    /// The piece at this place of what is still to be said, starting over when the pieces are used up; `None` at the end.
    pub(super) fn piece(&self, index: u64) -> Option<&str> {
        let (pieces, bytes) = self.begun;
        let piece = self.whole_piece(index.checked_add(pieces)?)?;
        if index == 0 { piece.get(bytes..) } else { Some(piece) }
    }

    fn whole_piece(&self, index: u64) -> Option<&str> {
        if self.length.is_some_and(|length| index >= length) || self.pieces.is_empty() {
            return None;
        }
        let place = usize::try_from(index % self.pieces.len() as u64).ok()?;
        self.pieces.get(place).map(String::as_str)
    }

    /// The place at which the answer goes on when exactly this of it has been said; nothing when it does not begin so.
    /// Templates trim messages: the space before the first word may be missing.
    fn place_after(&self, said: &str) -> Option<(u64, usize)> {
        let mut rest = said;
        let mut index = 0;
        loop {
            let whole = self.whole_piece(index)?;
            let trims = index == 0 && !rest.starts_with(char::is_whitespace);
            let piece = if trims { whole.trim_start() } else { whole };
            if piece.is_empty() || rest.trim().is_empty() && index == 0 {
                return None;
            }
            match rest.strip_prefix(piece) {
                Some("") => return Some((index + 1, 0)),
                Some(further) => rest = further,
                None if piece.starts_with(rest) => {
                    return Some((index, whole.len() - piece.len() + rest.len()));
                }
                None => return None,
            }
            index += 1;
        }
    }

    pub(super) fn is_endless(&self) -> bool {
        self.length.is_none()
    }
}

/// Words in a text: what stands for its number of tokens.
pub(super) fn count_tokens(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// Pieces whose concatenation is the text: words with the space before them, or runs of so many characters.
pub(super) fn split(text: &str, piece_chars: Option<usize>) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut chars_in_last = 0;
    let mut after_space = true;
    for character in text.chars() {
        let new_piece = match piece_chars {
            Some(chars) => chars_in_last >= chars.max(1),
            None => character.is_whitespace() && !after_space,
        };
        after_space = character.is_whitespace();
        match pieces.last_mut() {
            Some(last) if !new_piece => last.push(character),
            _ => {
                pieces.push(character.to_string());
                chars_in_last = 0;
            }
        }
        chars_in_last += 1;
    }
    pieces
}

/// So many bytes of the word list.
fn filler(bytes: usize) -> String {
    WORDS.iter().cycle().flat_map(|word| word.chars()).take(bytes.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_to_the_text() {
        let text = "two  words\nand more ";
        assert_eq!(split(text, None).concat(), text);
        assert_eq!(split("a b", None), ["a", " b"]);
        assert_eq!(split("äbcde", Some(2)), ["äb", "cd", "e"]);
        assert!(split("", None).is_empty());
    }

    #[test]
    fn words_repeat_and_frames_have_the_size_asked_for() {
        let knobs = Knobs { tokens: 23, ..Knobs::default() };
        let text = Text::of(&knobs, "");
        assert_eq!((text.piece(22), text.piece(23)), (Some(" the"), None));
        let knobs = Knobs { frame_bytes: Some(1000), endless: true, ..Knobs::default() };
        let text = Text::of(&knobs, "");
        assert_eq!(text.piece(1_000_000).map(str::len), Some(1000));
    }

    #[test]
    fn an_answer_that_was_begun_goes_on_where_it_was_left() {
        let knobs = Knobs { tokens: 24, ..Knobs::default() };
        let rest = |said: &str| {
            let mut text = Text::of(&knobs, "");
            text.go_on_from(said);
            (0..).map_while(|index| text.piece(index).map(str::to_owned)).collect::<Vec<_>>().concat()
        };
        let whole = rest("");
        for cut in 1..whole.len() {
            assert_eq!(
                rest(&whole[..cut]),
                if cut == 1 { &whole } else { &whole[cut..] },
                "cut after {cut} bytes"
            );
        }
        assert_eq!(rest(&whole), "");
        assert_eq!(rest("the quick"), whole[" the quick".len()..]);
        assert_eq!(rest("Say: the quick"), whole[" the quick".len()..]);
        assert_eq!(rest("{"), whole);
    }
}
