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
        Self { pieces: pieces.into(), length: (!endless).then_some(length) }
    }

    /// The piece at this place, starting over when the pieces are used up; `None` at the end.
    pub(super) fn piece(&self, index: u64) -> Option<&str> {
        if self.length.is_some_and(|length| index >= length) || self.pieces.is_empty() {
            return None;
        }
        let place = usize::try_from(index % self.pieces.len() as u64).ok()?;
        self.pieces.get(place).map(String::as_str)
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
}
