//! Names of models: which spellings mean the same model.
//!
//! Ollama's rule (`types/model/name.go`): `[scheme://]host/namespace/model:tag` with the defaults
//! `registry.ollama.ai`, `library` and `latest`, compared without regard to ASCII case. Names of other engines
//! (`Qwen/Qwen2.5-3B`) go through the same rule, which never makes two of them one by more than case and tag.

use memchr::memrchr;

/// The registry that Ollama leaves out of names.
const DEFAULT_HOST: &str = "registry.ollama.ai";
/// The namespace that Ollama leaves out of names.
const DEFAULT_NAMESPACE: &str = "library";
/// The tag of a name without one.
const DEFAULT_TAG: &str = "latest";

/// The one spelling of a model's name, for comparing and as a key: lower case, without default host and
/// namespace, with its tag. For routing only: clients and backends always see the name as it was written.
pub fn canonical(name: &str) -> String {
    let name = Name::parse(name);
    let mut canonical = String::with_capacity(name.path.len() + 1 + name.tag.len());
    canonical.push_str(name.path);
    if !name.path.is_empty() {
        canonical.push(':');
        canonical.push_str(name.tag);
    }
    canonical.make_ascii_lowercase();
    canonical
}

/// Whether two names mean the same model. Allocates nothing.
pub fn same_model(a: &str, b: &str) -> bool {
    let (a, b) = (Name::parse(a), Name::parse(b));
    a.path.eq_ignore_ascii_case(b.path) && a.tag.eq_ignore_ascii_case(b.tag)
}

/// A name without what goes without saying, in the case in which it was written.
struct Name<'n> {
    /// `[[host/]namespace/]model`; empty only for an empty name.
    path: &'n str,
    tag: &'n str,
}

// === impl Name ===

impl<'n> Name<'n> {
    fn parse(name: &'n str) -> Self {
        let name = name.trim();
        // Most names have neither scheme nor host nor namespace: every request asks for one, so that is found out once.
        let Some(slash) = memrchr(b'/', name.as_bytes()) else {
            let (path, tag) = tagged(name, 0);
            return Self { path, tag };
        };
        let scheme = name.rfind("://").map_or(0, |scheme| scheme + 3);
        let (path, tag) = tagged(&name[scheme..], (slash + 1).saturating_sub(scheme));
        Self { path: without_defaults(path), tag }
    }
}

/// Path and tag of a name whose model begins at `model`: a colon before that is the port of a host.
fn tagged(name: &str, model: usize) -> (&str, &str) {
    match memrchr(b':', &name.as_bytes()[model..]) {
        Some(0) | None => (name, DEFAULT_TAG),
        Some(colon) => {
            let (path, tag) = name.split_at(model + colon);
            (path, if tag.len() > 1 { &tag[1..] } else { DEFAULT_TAG })
        }
    }
}

fn without_defaults(path: &str) -> &str {
    let path = match strip_segment(path, DEFAULT_HOST) {
        // Of two parts the first is a namespace, whatever its name.
        Some(rest) if rest.matches('/').count() == 1 => rest,
        _ => path,
    };
    match strip_segment(path, DEFAULT_NAMESPACE) {
        Some(rest) if !rest.is_empty() && !rest.contains('/') => rest,
        _ => path,
    }
}

/// `path` after its first segment, if that is `segment`.
fn strip_segment<'n>(path: &'n str, segment: &str) -> Option<&'n str> {
    let (first, rest) = path.split_once('/')?;
    first.eq_ignore_ascii_case(segment).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_model_has_one_canonical_name() {
        for name in [
            "llama3.2",
            "llama3.2:latest",
            "LLAMA3.2:Latest",
            " llama3.2 ",
            "llama3.2:",
            "library/llama3.2",
            "Library/Llama3.2:latest",
            "registry.ollama.ai/library/llama3.2:latest",
            "https://registry.ollama.ai/library/llama3.2",
        ] {
            assert_eq!(canonical(name), "llama3.2:latest", "{name}");
            assert!(same_model(name, "llama3.2"), "{name}");
        }
    }

    #[test]
    fn what_is_not_a_default_stays() {
        for (name, expected) in [
            ("Qwen/Qwen2.5-3B", "qwen/qwen2.5-3b:latest"),
            ("llama3.2:1b-Q4_K_M", "llama3.2:1b-q4_k_m"),
            ("registry.ollama.ai/me/tuned", "me/tuned:latest"),
            ("hf.co/library/model:Q8_0", "hf.co/library/model:q8_0"),
            ("localhost:5000/library/model", "localhost:5000/library/model:latest"),
            ("registry.ollama.ai/model", "registry.ollama.ai/model:latest"),
            ("a/b/c/d", "a/b/c/d:latest"),
            (":7b", ":7b:latest"),
            ("", ""),
            ("  ", ""),
        ] {
            assert_eq!(canonical(name), expected, "{name}");
        }
    }

    #[test]
    fn different_models_are_not_the_same() {
        assert!(!same_model("llama3.2", "llama3.2:1b"));
        assert!(!same_model("me/llama3.2", "llama3.2"));
        assert!(!same_model("hf.co/library/llama3.2", "library/llama3.2"));
        assert!(!same_model("", "llama3.2"));
    }

    fn any_name() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("library".to_owned()),
            Just("registry.ollama.ai".to_owned()),
            Just("latest".to_owned()),
            "[a-bA-B.:]{0,3}",
        ];
        proptest::collection::vec(part, 1..5).prop_map(|parts| parts.join("/"))
    }

    proptest! {
        #[test]
        fn the_same_model_is_the_same_canonical_name(a in any_name(), b in any_name()) {
            prop_assert_eq!(same_model(&a, &b), canonical(&a) == canonical(&b), "{} and {}", a, b);
        }

        #[test]
        fn any_text_has_a_canonical_name(name in "\\PC{0,40}") {
            let canonical = canonical(&name);
            prop_assert!(same_model(&name, &name));
            prop_assert!(canonical.is_empty() || canonical.contains(':'));
        }
    }
}
