//! Which models a key is for.
//!
//! A name without `*` means one model, in whichever spelling ([`crate::model::canonical`]). With `*`, which stands for any
//! text, it is compared with the canonical spelling, in which the tag `latest` may be missing: `llama3*`, `*:70b`.

use crate::model::canonical;

/// The tag that may go unsaid.
const DEFAULT_TAG: &str = ":latest";

/// The models that a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelScope(Vec<Pattern>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// The canonical name.
    One(String),
    /// In lower case.
    Wild(String),
}

// === ModelScope ===

impl ModelScope {
    /// What these names say; `None` for none, which is every model.
    pub fn of(names: &[String]) -> Option<Self> {
        let pattern = |name: &String| {
            if name.contains('*') {
                Pattern::Wild(name.trim().to_ascii_lowercase())
            } else {
                Pattern::One(canonical(name))
            }
        };
        (!names.is_empty()).then(|| Self(names.iter().map(pattern).collect()))
    }

    /// Whether it has the model of this name.
    pub fn allows(&self, name: &str) -> bool {
        let name = canonical(name);
        let short = name.strip_suffix(DEFAULT_TAG);
        self.0.iter().any(|pattern| match pattern {
            Pattern::One(model) => *model == name,
            Pattern::Wild(pattern) => {
                matches(pattern, &name) || short.is_some_and(|short| matches(pattern, short))
            }
        })
    }
}

/// Whether the text is what the pattern says. The last star may take what it likes again, the ones before it never need to:
/// the time is at most that of both lengths multiplied.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, from));
            at += 1;
        } else if pattern.get(at) == Some(&text[from]) {
            (at, from) = (at + 1, from + 1);
        } else if let Some((place, taken)) = star {
            star = Some((place, taken + 1));
            (at, from) = (place + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], name: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        ModelScope::of(&patterns).is_none_or(|scope| scope.allows(name))
    }

    #[test]
    fn a_name_means_one_model_in_every_spelling() {
        for name in ["llama3", "LLAMA3:latest", "library/llama3", " llama3 "] {
            assert!(allows(&["Llama3"], name), "{name}");
        }
        for name in ["llama3:70b", "llama", "llama33", "me/llama3", ""] {
            assert!(!allows(&["llama3"], name), "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "anything:1b", true),
            ("llama3*", "llama3", true),
            ("llama3*", "llama3:70b", true),
            ("llama3*", "me/llama3", false),
            ("*-instruct", "qwen-instruct", true),
            ("*-instruct", "qwen-instruct:7b", false),
            ("*:70b", "llama3:70b", true),
            ("*:latest", "llama3", true),
            ("Qwen/*b", "qwen/Qwen2-3B", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("**", "x", true),
            ("", "x", true),
        ] {
            let patterns: &[&str] = if pattern.is_empty() { &[] } else { &[pattern] };
            assert_eq!(allows(patterns, name), expected, "{pattern} {name}");
        }
        assert!(allows(&["a", "b*"], "bc") && !allows(&["a", "b*"], "c"));
    }
}
