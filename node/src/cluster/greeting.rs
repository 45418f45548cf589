//! How nodes that have no cluster yet, or have lost sight of it, find each other.

use std::collections::BTreeSet;

use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::id::ClusterId;
use serde::{Deserialize, Serialize};

/// What a node tells whoever knows the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Greeting {
    /// Its place, if it has one.
    pub(super) membership: Option<(ClusterId, NodeId)>,
    /// The nodes that it wants to form a cluster with; empty if it was told another way.
    pub(super) peers: BTreeSet<String>,
    /// The version of its program.
    pub(super) version: String,
}

/// What a node without a cluster is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Become the first member of a new cluster.
    Found,
    /// Ask the node at this address for a place.
    Join(String),
    /// Ask again later.
    Wait(String),
}

/// Decides what the node at `own` is to do, having heard these answers from its other `peers`.
///
/// The first of the peers founds, and only when every other one is there and has no cluster either. So a node
/// whose disk was lost never founds a second cluster beside its old one: the others have theirs.
pub(super) fn next_step(own: &str, peers: &BTreeSet<String>, answers: &[(String, Option<Greeting>)]) -> Step {
    if let Some((address, _)) = answers.iter().find(|(_, answer)| is_member(answer.as_ref())) {
        return Step::Join(address.clone());
    }
    if let Some((address, _)) =
        answers.iter().find(|(_, answer)| answer.as_ref().is_some_and(|greeting| greeting.peers != *peers))
    {
        return Step::Wait(format!("{address} has another list of Peers: give all nodes the same"));
    }
    let silent: Vec<&str> =
        answers.iter().filter(|(_, answer)| answer.is_none()).map(|(address, _)| address.as_str()).collect();
    if !silent.is_empty() {
        return Step::Wait(format!("not all Peers are there: no answer from {}", silent.join(", ")));
    }
    match peers.first() {
        Some(first) if first == own => Step::Found,
        Some(first) => Step::Wait(format!("{first} is about to found the cluster")),
        None => Step::Wait("there are no Peers".to_owned()),
    }
}

fn is_member(answer: Option<&Greeting>) -> bool {
    answer.is_some_and(|greeting| greeting.membership.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn fresh(names: &[&str]) -> Greeting {
        Greeting { membership: None, peers: peers(names), version: String::new() }
    }

    fn member() -> Greeting {
        let membership = Some((ClusterId::try_from("c").unwrap(), 1));
        Greeting { membership, peers: BTreeSet::new(), version: String::new() }
    }

    fn step(own: &str, answers: Vec<(&str, Option<Greeting>)>) -> Step {
        let answers: Vec<_> = answers.into_iter().map(|(name, answer)| (name.to_owned(), answer)).collect();
        next_step(own, &peers(&["a:1", "b:1", "c:1"]), &answers)
    }

    #[test]
    fn only_the_first_peer_founds_and_only_when_all_are_there_and_fresh() {
        let all = ["a:1", "b:1", "c:1"];
        assert_eq!(step("a:1", vec![("b:1", Some(fresh(&all))), ("c:1", Some(fresh(&all)))]), Step::Found);
        assert!(matches!(
            step("b:1", vec![("a:1", Some(fresh(&all))), ("c:1", Some(fresh(&all)))]),
            Step::Wait(_)
        ));
        assert!(matches!(step("a:1", vec![("b:1", Some(fresh(&all))), ("c:1", None)]), Step::Wait(_)));
    }

    #[test]
    fn whoever_sees_a_member_joins_it_even_if_others_are_silent() {
        assert_eq!(step("a:1", vec![("b:1", None), ("c:1", Some(member()))]), Step::Join("c:1".to_owned()));
    }

    #[test]
    fn different_lists_of_peers_found_nothing() {
        let all = ["a:1", "b:1", "c:1"];
        let Step::Wait(why) =
            step("a:1", vec![("b:1", Some(fresh(&all))), ("c:1", Some(fresh(&["a:1", "c:1"])))])
        else {
            panic!("two lists became one cluster")
        };
        assert!(why.contains("c:1"), "{why}");
    }
}
