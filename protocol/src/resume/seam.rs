//! Where the second backend's text meets the first one's: nothing twice, nothing lost.

/// The shortest text whose repetition is taken for an echo, in bytes. A model may well begin a continuation with
/// the few words it has said so far ("ha" goes on with "ha"); with all of a longer text it does not.
const SHORTEST_ECHO: usize = 16;

/// Takes off the beginning of a continuation what the client already has.
///
/// Two things can be there twice. Some engines repeat the text that they were given to continue. And white space:
/// templates trim the end of a message, so the continuation would bring it again, or it is lost with the first
/// token; so it is never sent to the engine, and skipped if the engine makes it again.
#[derive(Clone, Debug, Default)]
pub(super) struct Seam {
    /// What an echo would be; empty once it is decided whether there is one.
    echo: String,
    /// How much of `echo` has come so far, in bytes.
    seen: usize,
    /// White space that the client has and the engine was not told.
    space: String,
}

// === impl Seam ===

impl Seam {
    /// `given` is the text that the engine is to continue, `space` what was trimmed from its end.
    pub(super) fn new(given: &str, space: &str) -> Self {
        let echo = if given.len() < SHORTEST_ECHO { "" } else { given };
        Self { echo: echo.to_owned(), seen: 0, space: space.to_owned() }
    }

    /// The next text of the continuation; returns what of it, or of what was held back, is for the client.
    pub(super) fn pass(&mut self, text: &str) -> String {
        if self.echo.is_empty() {
            return self.unspaced(text);
        }
        let expected = &self.echo[self.seen..];
        if text.len() < expected.len() && expected.starts_with(text) {
            self.seen += text.len();
            return String::new();
        }
        if let Some(rest) = text.strip_prefix(expected) {
            self.echo.clear();
            return self.unspaced(rest);
        }
        self.flush() + &self.unspaced(text)
    }

    /// No more text will come: what looked like the beginning of an echo was none.
    pub(super) fn flush(&mut self) -> String {
        let mut held = std::mem::take(&mut self.echo);
        held.truncate(std::mem::take(&mut self.seen));
        self.unspaced(&held)
    }

    fn unspaced(&mut self, text: &str) -> String {
        if self.space.is_empty() || text.is_empty() {
            return text.to_owned();
        }
        let same = self.space.chars().zip(text.chars()).take_while(|(had, new)| had == new);
        let length: usize = same.map(|(had, _)| had.len_utf8()).sum();
        if length == text.len() {
            self.space.drain(..length);
        } else {
            self.space.clear();
        }
        text[length..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(given: &str, space: &str, texts: &[&str]) -> String {
        let mut seam = Seam::new(given, space);
        let mut joined: String = texts.iter().map(|text| seam.pass(text)).collect();
        joined.push_str(&seam.flush());
        joined
    }

    const GIVEN: &str = "Once upon a time there was";

    #[test]
    fn a_continuation_passes() {
        assert_eq!(joined(GIVEN, "", &[" a", " king"]), " a king");
        assert_eq!(Seam::new(GIVEN, "").pass(" a"), " a", "at once");
    }

    #[test]
    fn an_echo_is_cut_off_however_it_comes() {
        assert_eq!(joined(GIVEN, "", &[GIVEN, " a"]), " a");
        assert_eq!(joined(GIVEN, "", &["Once upon a time", " there was a", " king"]), " a king");
    }

    #[test]
    fn what_only_begins_like_an_echo_is_kept() {
        assert_eq!(joined(GIVEN, "", &["Once", " more", "."]), "Once more.");
        assert_eq!(joined(GIVEN, "", &["Once", " upon"]), "Once upon");
    }

    #[test]
    fn a_short_text_may_be_said_again() {
        assert_eq!(joined("ha", "", &["ha", " ha"]), "ha ha");
    }

    #[test]
    fn white_space_that_the_client_has_is_not_repeated() {
        assert_eq!(joined(GIVEN, " ", &[" a", " king"]), "a king");
        assert_eq!(joined(GIVEN, " ", &["a", " king"]), "a king");
        assert_eq!(joined(GIVEN, "\n\n", &["\n", "\n", "\nThe"]), "\nThe");
        assert_eq!(joined(GIVEN, " \n", &[" The"]), "The");
        assert_eq!(joined(GIVEN, " ", &[GIVEN, " a"]), "a", "after an echo too");
    }
}
