//! The beginning of a body, for those that asked for bodies in their log.

/// How much of a body is logged.
pub const EXCERPT_BYTES: usize = 16 * 1024;

/// What stands for a credential.
const HIDDEN: &str = "********";

/// The word that credentials in texts stand behind, in any case.
const BEARER: &[u8] = b"bearer ";

/// Fewest characters of what is taken for a credential there.
const CREDENTIAL_CHARS: usize = 8;

/// The beginning of a body that passes in pieces. Holds [`EXCERPT_BYTES`] at most.
#[derive(Debug, Default)]
pub struct Excerpt {
    start: Vec<u8>,
    total: u64,
}

// === impl Excerpt ===

impl Excerpt {
    /// Of a body that is there, or of its beginning.
    pub fn of(body: &[u8]) -> Self {
        let mut excerpt = Self::default();
        excerpt.push(body);
        excerpt
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        let room = EXCERPT_BYTES - self.start.len();
        self.start.extend_from_slice(&piece[..piece.len().min(room)]);
        self.total += piece.len() as u64;
    }

    /// Bytes that have passed.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether it is less than the body.
    pub fn is_cut(&self) -> bool {
        self.total > self.start.len() as u64
    }

    /// As text, without credentials. What is no text is not shown.
    pub fn text(&self) -> String {
        let start = match std::str::from_utf8(&self.start) {
            Ok(text) => text,
            // Cut in the middle of a character.
            Err(e) if e.error_len().is_none() => {
                std::str::from_utf8(&self.start[..e.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return format!("<{} bytes that are no text>", self.total),
        };
        without_credentials(start)
    }
}

/// The text without what stands behind `Bearer`.
fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) =
        rest.as_bytes().windows(BEARER.len()).position(|word| word.eq_ignore_ascii_case(BEARER))
    {
        let (before, after) = rest.split_at(at + BEARER.len());
        out.push_str(before);
        let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        let length = after.bytes().take_while(is_of_token).count();
        let (token, after) = after.split_at(length);
        out.push_str(if length >= CREDENTIAL_CHARS { HIDDEN } else { token });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_body_is_shown_whole_and_a_long_one_up_to_the_bound() {
        let mut excerpt = Excerpt::of(b"{\"a\":");
        excerpt.push(b"1}");
        assert_eq!((excerpt.text().as_str(), excerpt.is_cut(), excerpt.total()), ("{\"a\":1}", false, 7));
        let mut long = Excerpt::default();
        for _ in 0..100 {
            long.push(&[b'x'; 1000]);
        }
        assert_eq!((long.text().len(), long.is_cut(), long.total()), (EXCERPT_BYTES, true, 100_000));
    }

    #[test]
    fn a_character_that_was_cut_is_left_out_and_what_is_no_text_is_not_shown() {
        let long = "x".repeat(EXCERPT_BYTES - 1) + "é";
        assert_eq!(Excerpt::of(long.as_bytes()).text().len(), EXCERPT_BYTES - 1);
        assert_eq!(Excerpt::of(b"a\xff\xfeb").text(), "<4 bytes that are no text>");
    }

    #[test]
    fn what_stands_behind_bearer_is_hidden() {
        let text = "{\"h\": \"Authorization: bearer sk-abc.DEF_123\"} Bearer of bad news, BEARER 12345678!";
        let expected = "{\"h\": \"Authorization: bearer ********\"} Bearer of bad news, BEARER ********!";
        assert_eq!(Excerpt::of(text.as_bytes()).text(), expected);
        assert_eq!(Excerpt::of(b"bearer ").text(), "bearer ");
    }
}
