//! Commands on tokens and nodes.

use super::*;

fn put_token(name: &str, byte: u8) -> Command {
    Command::PutToken {
        name: name.parse().unwrap(),
        hash: TokenHash::new([byte; 32]),
        expect: Precondition::Any,
    }
}

fn allocate(address: &str, incarnation: u128) -> Command {
    Command::AllocateNode { address: address.to_owned(), incarnation }
}

#[test]
fn tokens_are_created_renewed_and_revoked() {
    let mut machine = Machine::seeded();
    assert_eq!(machine.apply(put_token("ci", 1)), Ok(Outcome::Created));
    assert_eq!(machine.newest().what, "created admin token ci");
    assert_eq!(machine.apply(put_token("ci", 1)), Ok(Outcome::Unchanged));
    assert_eq!(machine.apply(put_token("ci", 2)), Ok(Outcome::Updated));
    let token = &machine.state.tokens()["ci"];
    assert_eq!((token.hash.as_bytes(), token.revision), (&[2; 32], 3));
    assert_eq!((token.created_utc, token.last_update_utc), (at(1), at(3)));
    assert_eq!(machine.newest().what, "gave admin token ci a new secret");

    let expecting = Command::PutToken {
        name: "ci".parse().unwrap(),
        hash: TokenHash::new([3; 32]),
        expect: Precondition::Absent,
    };
    assert_eq!(machine.refuse(expecting), Rejection::Exists { object: object(ObjectKind::Token, "ci") });
    let delete = Command::DeleteToken { name: "ci".parse().unwrap() };
    assert_eq!(machine.apply(delete.clone()), Ok(Outcome::Deleted { unlinked: 0 }));
    assert!(machine.state.tokens().is_empty());
    assert_eq!(machine.refuse(delete), Rejection::NotFound { object: object(ObjectKind::Token, "ci") });
}

#[test]
fn there_are_at_most_so_many_tokens() {
    let mut machine = Machine::seeded();
    for number in 0..MAX_TOKENS {
        machine.apply(put_token(&format!("t{number}"), 1)).unwrap();
    }
    let rejection = machine.refuse(put_token("one-more", 1));
    assert_eq!(rejection, Rejection::TooMany { kind: ObjectKind::Token, limit: MAX_TOKENS as u64 });
    assert_eq!(machine.apply(put_token("t0", 2)), Ok(Outcome::Updated), "those there can be renewed");
}

#[test]
fn no_rendering_of_a_token_shows_its_hash() {
    let mut machine = Machine::seeded();
    machine.apply(put_token("ci", 0xab)).unwrap();
    let token = &machine.state.tokens()["ci"];
    for rendering in
        [format!("{token:?}"), serde_json::to_string(token).unwrap(), format!("{:?}", machine.state)]
    {
        assert!(!rendering.contains("abab") && !rendering.contains("171"), "{rendering}");
    }
}

#[test]
fn a_node_id_is_given_once_and_never_again() {
    let mut machine = Machine::seeded();
    assert_eq!(machine.apply(allocate("n1:43412", 11)), Ok(Outcome::NodeAllocated { id: 1 }));
    assert_eq!(machine.apply(allocate("n2:43412", 12)), Ok(Outcome::NodeAllocated { id: 2 }));
    assert_eq!(machine.newest().what, "admitted node 2 at n2:43412");
    assert_eq!(machine.apply(Command::RetireNode { id: 2 }), Ok(Outcome::NodeRetired));
    assert_eq!(machine.newest().what, "removed node 2 at n2:43412");
    assert_eq!(machine.apply(allocate("n2:43412", 13)), Ok(Outcome::NodeAllocated { id: 3 }));
    assert_eq!(
        machine.refuse(Command::RetireNode { id: 2 }),
        Rejection::NotFound { object: object(ObjectKind::Node, "2") }
    );
    assert_eq!(machine.refuse(allocate("n2:43412", 12)), Rejection::NodeRetired { id: 2 });
    let ids: Vec<_> = machine.state.nodes().keys().copied().collect();
    assert_eq!(ids, [1, 3]);
}

#[test]
fn asking_again_gives_the_same_id_and_a_new_address_is_taken_over() {
    let mut machine = Machine::seeded();
    machine.apply(allocate("n1:43412", 11)).unwrap();
    let before = machine.state.revision();
    assert_eq!(machine.apply(allocate("n1:43412", 11)), Ok(Outcome::NodeAllocated { id: 1 }));
    assert_eq!(machine.state.revision(), before);
    assert_eq!(machine.apply(allocate("moved:43412", 11)), Ok(Outcome::NodeAllocated { id: 1 }));
    assert_eq!(machine.state.nodes()[&1].address, "moved:43412");
    assert_eq!(machine.newest().what, "node 1 moved to moved:43412");

    machine.apply(allocate("n2:43412", 12)).unwrap();
    machine.apply(allocate("again:43412", 11)).unwrap();
    machine.apply(Command::RetireNode { id: 2 }).unwrap();
    assert_eq!(machine.apply(allocate("n3:43412", 13)), Ok(Outcome::NodeAllocated { id: 3 }));
}

#[test]
fn founders_have_the_first_ids() {
    let founder = |id, incarnation| Founder { id, address: format!("n{id}:43412"), incarnation };
    let born = |founders| {
        let mut machine = Machine { state: ClusterState::new(), index: 0 };
        let command = Command::Seed {
            cluster_id: "c1".parse().unwrap(),
            founders,
            frontends: Vec::new(),
            backends: Vec::new(),
        };
        machine.apply(command).map(|_| machine)
    };
    let mut machine = born(vec![founder(1, 11), founder(3, 13)]).unwrap();
    assert_eq!(machine.apply(allocate("n4:43412", 14)), Ok(Outcome::NodeAllocated { id: 4 }));
    assert_eq!(machine.apply(allocate("n3:43412", 13)), Ok(Outcome::NodeAllocated { id: 3 }));
    for twice in [vec![founder(1, 11), founder(1, 12)], vec![founder(1, 11), founder(2, 11)]] {
        assert!(matches!(born(twice), Err(Rejection::Exists { .. })));
    }
}

#[test]
fn addresses_are_checked_and_nodes_are_bounded() {
    let mut machine = Machine::seeded();
    for bad in ["", "a b:1", "a\n:1", &"x".repeat(260)] {
        assert!(matches!(machine.refuse(allocate(bad, 1)), Rejection::Invalid { .. }), "{bad}");
    }
    for number in 0..MAX_NODES {
        machine.apply(allocate("n:1", number as u128)).unwrap();
    }
    assert!(matches!(machine.refuse(allocate("n:1", 999)), Rejection::TooMany { .. }));
    assert!(matches!(machine.refuse(allocate("", 5)), Rejection::Invalid { .. }), "moving is checked too");
}

#[test]
fn the_memory_of_removed_nodes_is_bounded() {
    let mut machine = Machine::seeded();
    let count = MAX_RETIRED as u64 + 10;
    for number in 1..=count {
        machine.apply(allocate("n:1", u128::from(number))).unwrap();
        machine.apply(Command::RetireNode { id: number }).unwrap();
    }
    assert!(matches!(machine.refuse(allocate("n:1", u128::from(count))), Rejection::NodeRetired { .. }));
    let forgotten = machine.apply(allocate("n:1", 1));
    assert_eq!(forgotten, Ok(Outcome::NodeAllocated { id: count + 1 }), "a new id, not the old one");
    ClusterState::decode(&machine.state.encode()).unwrap();
}

#[test]
fn a_removed_node_is_told_from_one_that_is_not_known_yet() {
    let mut machine = Machine::seeded();
    machine.apply(allocate("n1:43412", 11)).unwrap();
    machine.apply(allocate("n2:43412", 12)).unwrap();
    assert!(!machine.state.has_removed_nodes());
    let ids: Vec<_> = machine.state.nodes().keys().copied().collect();
    let (first, second) = (ids[0], ids[1]);
    machine.apply(Command::RetireNode { id: first }).unwrap();
    assert!(machine.state.was_removed(first) && machine.state.has_removed_nodes());
    assert!(!machine.state.was_removed(second) && !machine.state.was_removed(second + 1));
    assert!(!machine.state.was_removed(0));
}
