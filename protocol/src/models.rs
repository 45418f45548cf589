//! Models over many backends: what each backend has, what the lists of all of them are together, and what is to be
//! done so that each has what it should.
//!
//! ```text
//! bodies of /api/tags, /v1/models, /api/ps, /api/show -> inventory -> merge -> one list, with an ETag
//!                                                                \-> desired -> actions, and a verdict on each model
//!                                                                 \-> matrix -> what the admin API shows
//! request -> alias -> the name at a backend, and the name to be echoed
//! progress of N backends -> progress -> one stream
//! a client's change -> change -> what it needs of a backend; wishes -> the frontend that does not undo it
//! ```
//!
//! Pure: bytes and times in, values and bytes out. Whoever has connections and clocks brings them.

pub mod alias;
pub mod change;
pub mod desired;
pub mod inventory;
pub mod matrix;
pub mod merge;
pub mod progress;
mod rename;
pub mod wishes;

pub use self::alias::ModelAliases;
pub(crate) use self::alias::{default_model, model_names, required_models};

/// Whether a model that is there satisfies the wish for a model: it is the same one, or the wish names no tag and the
/// model is one of its tags. So `all-minilm:33m` satisfies `all-minilm`.
///
/// The original compares the names as they are written; here other spellings of one name are the same model as well.
pub fn satisfies(wanted: &str, available: &str) -> bool {
    crate::model::same_model(wanted, available) || is_tag_of(wanted.trim(), available)
}

fn is_tag_of(wanted: &str, available: &str) -> bool {
    let (Some(start), Some(b':')) = (available.get(..wanted.len()), available.as_bytes().get(wanted.len()))
    else {
        return false;
    };
    !wanted.is_empty() && start.eq_ignore_ascii_case(wanted)
}

#[cfg(test)]
mod tests {
    use super::satisfies;

    #[test]
    fn any_tag_satisfies_a_wish_without_one() {
        for (wanted, available) in [
            ("all-minilm", "all-minilm:33m"),
            ("all-minilm", "All-MiniLM:latest"),
            ("llama3.2:latest", "llama3.2"),
            ("library/llama3.2", "llama3.2:latest"),
            (" a ", "a:1b"),
            ("qwen/qwen2.5-3b", "Qwen/Qwen2.5-3B"),
        ] {
            assert!(satisfies(wanted, available), "{wanted} {available}");
        }
        for (wanted, available) in [
            ("all-minilm:33m", "all-minilm:latest"),
            ("all-minilm", "all-minilm-x:latest"),
            ("a:1b", "a:1b-q4"),
            ("", ":x"),
            ("é", "e:1"),
        ] {
            assert!(!satisfies(wanted, available), "{wanted} {available}");
        }
    }
}
