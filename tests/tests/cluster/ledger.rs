//! What writers know of their writes, and whether the cluster's final state agrees: every acknowledged write is there,
//! in the order of the revisions it was acknowledged with, none twice, and none that was said not to be made.
//!
//! A write appends an entry to the list of labels of one object, by a compare-and-swap on its revision. So the lists show
//! all writes and their order, however many there were.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a writer was told about one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The object it was appended to.
    pub object: String,
    /// The entry; no other write has the same.
    pub entry: String,
    /// What became of it.
    pub fate: Fate,
    /// The words that it was told with; empty for an acknowledgement.
    pub words: String,
}

/// What became of a write, as its writer knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was acknowledged, with this revision.
    Acknowledged(u64),
    /// There was no acknowledgement, but a quorum read has shown it.
    Seen,
    /// It was said not to be made.
    NotMade,
    /// Nobody can tell.
    Unknown,
}

/// The lists of the final state, by object.
pub type Lists = BTreeMap<String, Vec<String>>;

/// What is wrong with `lists`, in view of what the writers were told. Empty if nothing is.
pub fn faults(told: &[Told], lists: &Lists) -> Vec<String> {
    let mut faults = Vec::new();
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    for (object, list) in lists {
        for (place, entry) in list.iter().enumerate() {
            if places.insert((object, entry), place).is_some() {
                faults.push(format!("{entry} is twice in {object}"));
            }
        }
    }
    let known: BTreeSet<(&str, &str)> =
        told.iter().map(|told| (told.object.as_str(), told.entry.as_str())).collect();
    faults.extend(
        places
            .keys()
            .filter(|key| !known.contains(*key))
            .map(|(object, entry)| format!("{entry} is in {object}, but nobody wrote it there")),
    );
    let mut by_revision: BTreeMap<u64, &Told> = BTreeMap::new();
    for write in told {
        let present = places.contains_key(&(write.object.as_str(), write.entry.as_str()));
        match write.fate {
            Fate::Acknowledged(_) | Fate::Seen if !present => faults.push(format!("{write:?} is lost")),
            Fate::NotMade if present => faults.push(format!("{write:?} is made all the same")),
            _ => {}
        }
        if let Fate::Acknowledged(revision) = write.fate
            && let Some(other) = by_revision.insert(revision, write)
        {
            faults.push(format!("{write:?} and {other:?} have one revision"));
        }
    }
    // In one object, later revisions stand later.
    let mut last: HashMap<&str, usize> = HashMap::new();
    for write in by_revision.values() {
        let Some(&place) = places.get(&(write.object.as_str(), write.entry.as_str())) else { continue };
        if last.insert(&write.object, place).is_some_and(|before| before >= place) {
            faults.push(format!("{write:?} stands before one that was acknowledged earlier"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(entry: &str, fate: Fate) -> Told {
        Told { object: "o".to_owned(), entry: entry.to_owned(), fate, words: String::new() }
    }

    fn lists(entries: &[&str]) -> Lists {
        Lists::from([("o".to_owned(), entries.iter().map(|entry| (*entry).to_owned()).collect())])
    }

    fn fault(told: &[Told], entries: &[&str]) -> String {
        faults(told, &lists(entries)).join("; ")
    }

    #[test]
    fn a_faithful_state_has_no_faults() {
        let told = [
            told("a", Fate::Acknowledged(5)),
            told("b", Fate::Unknown),
            told("c", Fate::Acknowledged(9)),
            told("d", Fate::Seen),
            told("e", Fate::NotMade),
            told("f", Fate::Unknown),
        ];
        assert_eq!(fault(&told, &["a", "b", "c", "d"]), "");
    }

    #[test]
    fn lost_doubled_foreign_and_withdrawn_writes_are_found() {
        assert!(fault(&[told("a", Fate::Acknowledged(5))], &[]).contains("is lost"));
        assert!(fault(&[told("a", Fate::Seen)], &[]).contains("is lost"));
        assert!(fault(&[told("a", Fate::Unknown)], &["a", "a"]).contains("twice"));
        assert!(fault(&[], &["a"]).contains("nobody wrote it"));
        assert!(fault(&[told("a", Fate::NotMade)], &["a"]).contains("made all the same"));
    }

    #[test]
    fn another_order_and_shared_revisions_are_found() {
        let (one, other) = (told("a", Fate::Acknowledged(5)), told("b", Fate::Acknowledged(6)));
        assert!(fault(&[one.clone(), other], &["b", "a"]).contains("stands before"));
        assert!(fault(&[one, told("b", Fate::Acknowledged(5))], &["a", "b"]).contains("one revision"));
    }
}
