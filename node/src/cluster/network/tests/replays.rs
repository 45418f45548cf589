//! Recorded requests that are sent again, byte for byte.

use super::*;

#[test]
fn a_recorded_request_is_taken_once() {
    let node = Node::start(place("home", 2));
    let run = node.present_run();
    let recorded = sealed(Call::Propose, SECRET, &head(2, run, b"once"), b"once");
    let first = node.raw(&recorded);
    assert_eq!((first.status, first.body.as_slice()), (200, b"Propose Some(1) once".as_slice()));
    assert!(node.raw(&recorded).is_nothing());
    assert!(node.raw(&recorded).is_nothing());
    assert_eq!(node.rejected(Reason::Replay), 2);
}

#[test]
fn a_request_from_long_ago_is_not_taken() {
    let node = Node::start(place("home", 2));
    let run = node.present_run();
    let recorded = sealed(Call::Vote, SECRET, &head(2, run, b""), b"");
    assert_eq!(node.raw(&sealed(Call::Vote, SECRET, &head(5000, run, b""), b"")).status, 200);
    // Its sender may be slow, not a replayer: it is told to try again.
    let reply = node.raw(&recorded);
    assert_eq!((reply.status, reply.is_sealed), (409, true));
    assert_eq!(node.rejected(Reason::Replay), 1);
}

#[test]
fn a_recorded_request_is_worthless_after_a_restart_of_its_receiver() {
    let node = Node::start(place("home", 2));
    let run = node.present_run();
    let recorded = sealed(Call::Propose, SECRET, &head(2, run, b"once"), b"once");
    assert_eq!(node.raw(&recorded).status, 200);
    let node = node.restart(place("home", 2));
    assert_eq!(node.raw(&recorded).status, 409);
    assert_eq!(node.raw(&recorded).status, 409);
    assert_eq!(node.rejected(Reason::EarlierRun), 2);
}

#[test]
fn a_recorded_request_is_worthless_at_another_node() {
    let (two, three) = (Node::start(place("home", 2)), Node::start(place("home", 3)));
    let recorded = sealed(Call::Vote, SECRET, &head(2, two.present_run(), b""), b"");
    assert_eq!(three.raw(&recorded).status, 409);
    assert_eq!(three.rejected(Reason::EarlierRun), 1);
}

#[test]
fn callers_notice_a_restart_by_themselves() {
    let mut node = Node::start(place("home", 2));
    let client = client(place("home", 1));
    for _ in 0..3 {
        let long = vec![7; 1024 * 1024];
        let answer = run(client.call(&node.target(2), Call::Append, long.clone(), HANG)).unwrap();
        assert!(answer.ends_with(&long));
        node = node.restart(place("home", 2));
    }
    run(client.call(&node.target(2), Call::Vote, Vec::new(), HANG)).unwrap();
}
