//! A walk over JSON text that builds nothing: the caller looks into what it knows and skips the rest.
//!
//! Skipping checks that quotes and brackets match and no more: the grammar inside of values that nobody looks at
//! is the business of whoever decodes the body. Nothing recurses on input.

/// How deep skipped values may nest; deeper ones count as broken. The limit of `serde_json` itself.
const MAX_DEPTH: u32 = 128;

/// The text is cut, or no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// A position in JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'b> {
    bytes: &'b [u8],
    at: usize,
}

/// The inside of a string, still escaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'b> {
    pub(crate) text: &'b [u8],
    /// False: the input ended before the string did.
    pub(crate) closed: bool,
}

// === impl Scanner ===

impl<'b> Scanner<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The first byte of what comes next, which tells its type.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Whether only white space is left.
    pub(crate) fn at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Walks an object. `member` is called behind each key and must consume the value; keys are raw.
    pub(crate) fn object<F>(&mut self, mut member: F) -> Result<(), Broken>
    where
        F: FnMut(&mut Self, &'b [u8]) -> Result<(), Broken>,
    {
        self.take(b'{')?;
        if self.peek() == Some(b'}') {
            return self.take(b'}');
        }
        loop {
            let key = self.string()?;
            self.take(b':')?;
            member(self, key)?;
            if self.ends(b'}')? {
                return Ok(());
            }
        }
    }

    /// Walks an array. `element` must consume each one.
    pub(crate) fn array<F>(&mut self, mut element: F) -> Result<(), Broken>
    where
        F: FnMut(&mut Self) -> Result<(), Broken>,
    {
        self.take(b'[')?;
        if self.peek() == Some(b']') {
            return self.take(b']');
        }
        loop {
            element(self)?;
            if self.ends(b']')? {
                return Ok(());
            }
        }
    }

    /// A whole string, without its quotes and still escaped.
    pub(crate) fn string(&mut self) -> Result<&'b [u8], Broken> {
        let raw = self.raw_string()?;
        if raw.closed { Ok(raw.text) } else { Err(Broken) }
    }

    /// A string that the end of the input may cut; the error is anything that is no string.
    pub(crate) fn raw_string(&mut self) -> Result<Raw<'b>, Broken> {
        self.take(b'"')?;
        let start = self.at;
        // Quotes are rarer than escapes in text, so only they are searched for; a run of backslashes is counted
        // once at most, because the quote after it ends the search or starts it anew.
        while let Some(found) = quote(&self.bytes[self.at..]) {
            let quote = self.at + found;
            self.at = quote + 1;
            let text = &self.bytes[start..quote];
            let backslashes = text.iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 0 {
                return Ok(Raw { text, closed: true });
            }
        }
        self.at = self.bytes.len();
        Ok(Raw { text: &self.bytes[start..], closed: false })
    }

    /// A number, `true`, `false` or `null`, as written.
    pub(crate) fn scalar(&mut self) -> Result<&'b [u8], Broken> {
        self.peek();
        let rest = &self.bytes[self.at..];
        let len = rest
            .iter()
            .position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'+' | b'.' | b'E'))
            .unwrap_or(rest.len());
        let scalar = &rest[..len];
        self.at += len;
        match scalar {
            b"true" | b"false" | b"null" => Ok(scalar),
            [b'-' | b'0'..=b'9', .., last] | [last] if last.is_ascii_digit() => Ok(scalar),
            _ => Err(Broken),
        }
    }

    /// Whether what comes next is an empty string, an empty array or null. Nothing is consumed.
    pub(crate) fn is_void(&mut self) -> bool {
        let Some(first) = self.peek() else { return false };
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match first {
            b'"' => rest.starts_with(b"\"\""),
            b'[' => rest[1..].trim_ascii_start().starts_with(b"]"),
            _ => rest.starts_with(b"null"),
        }
    }

    /// Passes over one value of any type.
    pub(crate) fn skip(&mut self) -> Result<(), Broken> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{' | b'[') => self.skip_nested(),
            Some(_) => self.scalar().map(drop),
            None => Err(Broken),
        }
    }

    /// Passes over one value of any type and gives its text.
    pub(crate) fn value(&mut self) -> Result<&'b [u8], Broken> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.bytes[start..self.at])
    }

    fn skip_nested(&mut self) -> Result<(), Broken> {
        // One bit for each open bracket, innermost lowest: 1 is an object.
        let mut open = 0u128;
        let mut depth = 0;
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => {
                    if depth == MAX_DEPTH {
                        return Err(Broken);
                    }
                    depth += 1;
                    open = open << 1 | u128::from(byte == b'{');
                }
                b'}' | b']' => {
                    if open & 1 != u128::from(byte == b'}') {
                        return Err(Broken);
                    }
                    open >>= 1;
                    depth -= 1;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
        Err(Broken)
    }

    /// After a member or element: passes over the comma or `bracket`; true at the bracket.
    fn ends(&mut self, bracket: u8) -> Result<bool, Broken> {
        let ended = match self.peek() {
            Some(b',') => false,
            Some(byte) if byte == bracket => true,
            _ => return Err(Broken),
        };
        self.at += 1;
        Ok(ended)
    }

    fn take(&mut self, byte: u8) -> Result<(), Broken> {
        if self.peek() != Some(byte) {
            return Err(Broken);
        }
        self.at += 1;
        Ok(())
    }
}

/// Keys and names are so short that a look at each byte costs less than the call of a search.
const SHORT: usize = 16;

/// Where the next quote is.
fn quote(bytes: &[u8]) -> Option<usize> {
    let (short, rest) = bytes.split_at(bytes.len().min(SHORT));
    let near = short.iter().position(|byte| *byte == b'"');
    near.or_else(|| memchr::memchr(b'"', rest).map(|found| SHORT + found))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn skips(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes());
        scanner.skip().is_ok() && scanner.at_end()
    }

    #[test]
    fn whole_values_are_skipped_and_cut_or_mismatched_ones_are_broken() {
        for whole in
            ["1", "-1.5e+3", "true", "null", "\"\"", "\"\\\\\"", "\"a\\\"b\"", "{}", "[]", " [{\"a\":[1]}] "]
        {
            assert!(skips(whole), "{whole}");
        }
        for broken in
            ["", " ", "tru", "-", "1.", "\"", "\"\\\"", "{", "[}", "{]", "[[]", "{\"a\":\"}", "]", "NaN"]
        {
            assert!(!skips(broken), "{broken}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(skips(&nested(128)));
        assert!(!skips(&nested(129)));
        assert!(!skips(&"[".repeat(1_000_000)));
    }

    #[test]
    fn members_and_elements_are_walked_in_order() {
        let mut seen = Vec::new();
        let mut scanner = Scanner::new(br#" { "a" : 1 , "b":[ "x" , "y" ] } "#);
        let walked = scanner.object(|scanner, key| {
            seen.push(key);
            if key == b"b" {
                return scanner.array(|scanner| scanner.string().map(|element| seen.push(element)));
            }
            scanner.scalar().map(|value| seen.push(value))
        });
        assert_eq!(walked, Ok(()));
        assert!(scanner.at_end());
        assert_eq!(seen, [&b"a"[..], b"1", b"b", b"x", b"y"]);
        for broken in ["{\"a\" 1}", "{\"a\":1,}", "{,}", "{1:1}", "{\"a\":1]", "[1]", "{\"a\":}"] {
            let walked = Scanner::new(broken.as_bytes()).object(|scanner, _| scanner.skip());
            assert_eq!(walked, Err(Broken), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_scanner_panic(bytes in proptest::collection::vec(prop_oneof![
            Just(b'"'), Just(b'\\'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b':'), Just(b','),
            Just(b'1'), any::<u8>()
        ], 0..60)) {
            let mut scanner = Scanner::new(&bytes);
            let _ = scanner.skip();
            let _ = scanner.at_end();
            let _ = Scanner::new(&bytes).object(|scanner, _| scanner.array(Scanner::skip));
        }
    }
}
