//! Calls between nodes that trust each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::*;

#[test]
fn a_call_reaches_the_service_and_its_answer_comes_back() {
    let node = Node::start(place("home", 2));
    let client = client(place("home", 1));
    run(async {
        for body in ["one", "", "two"] {
            let answer = client.call(&node.target(2), Call::Propose, body.into(), HANG).await.unwrap();
            assert_eq!(String::from_utf8(answer).unwrap(), format!("Propose Some(1) {body}"));
        }
    });
    assert_eq!(node.rejected_at_all(), 0);
}

#[test]
fn nodes_without_a_cluster_can_say_hello_join_and_invite_and_no_more() {
    let (alone, member) = (Node::start(Place::default()), Node::start(place("home", 2)));
    let (fresh, leader) = (client(Place::default()), client(place("home", 1)));
    run(async {
        for call in Call::ALL {
            let open = call.is_open();
            let from_fresh = fresh.call(&member.anyone(), call, Vec::new(), HANG).await;
            let to_alone = leader.call(&alone.anyone(), call, Vec::new(), HANG).await;
            let both = fresh.call(&alone.anyone(), call, Vec::new(), HANG).await;
            for outcome in [from_fresh, to_alone, both] {
                match outcome {
                    Ok(_) => assert!(open, "{call:?}"),
                    Err(error) => {
                        assert!(!open, "{call:?}");
                        assert_eq!(error, CallError::Refused(Refusal::WrongCluster));
                    }
                }
            }
        }
    });
    let closed = Call::ALL.iter().filter(|call| !call.is_open()).count();
    assert_eq!(member.rejected(Reason::Cluster), closed as u64);
}

#[test]
fn a_place_that_is_got_later_counts_from_then_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mine = shared(Place::default());
    let node = Node::on(listener, Arc::clone(&mine), Arc::new(Echo), None);
    let client = client(place("home", 1));
    run(async {
        let target = node.target(2);
        let vote = || client.call(&target, Call::Vote, Vec::new(), HANG);
        assert_eq!(vote().await, Err(CallError::Refused(Refusal::WrongCluster)));
        mine.store(Arc::new(place("home", 2)));
        vote().await.unwrap();
    });
}

#[test]
fn what_the_service_refuses_is_told_to_the_caller() {
    let service = Answer(|incoming: Incoming| {
        let error = match incoming.call {
            Call::Hello => ServiceError::NotReady("soon".to_owned()),
            Call::Vote => ServiceError::Removed,
            _ => ServiceError::Failed("no".to_owned()),
        };
        async { Err(error) }.boxed()
    });
    let node = Node::with(place("home", 2), service, None);
    let client = client(place("home", 1));
    run(async {
        for (call, refusal) in [
            (Call::Hello, Refusal::NotReady("soon".to_owned())),
            (Call::Vote, Refusal::Removed),
            (Call::Elect, Refusal::Failed("no".to_owned())),
        ] {
            let outcome = client.call(&node.target(2), call, Vec::new(), HANG).await;
            assert_eq!(outcome, Err(CallError::Refused(refusal)));
        }
    });
}

#[test]
fn long_bodies_arrive_whole_and_longer_ones_are_not_sent() {
    let node = Node::start(place("home", 2));
    let client = client(place("home", 1));
    let length = usize::try_from(Call::Propose.max_body()).unwrap();
    let body: Vec<u8> = (0..length).map(|index| (index % 251).to_le_bytes()[0]).collect();
    run(async {
        // The peer's run is not known yet: the body goes twice.
        let answer = client.call(&node.target(2), Call::Propose, body.clone(), HANG).await.unwrap();
        assert!(answer.ends_with(&body));
        let long = vec![0; length + 1];
        let error = client.call(&node.target(2), Call::Propose, long, HANG).await.unwrap_err();
        let bytes = Call::Propose.max_body() + 1;
        assert_eq!(error, CallError::Refused(Refusal::TooLarge { bytes, limit: bytes - 1 }));
    });
    assert_eq!(node.rejected_at_all(), 0);
}

#[test]
fn a_hundred_calls_go_on_at_once() {
    // No answer before all calls have arrived.
    let all_there = Arc::new(tokio::sync::Barrier::new(100));
    let service = Answer(move |incoming: Incoming| {
        let all_there = Arc::clone(&all_there);
        async move {
            all_there.wait().await;
            Ok(incoming.body.to_vec())
        }
        .boxed()
    });
    let node = Node::with(place("home", 2), service, None);
    let client = client(place("home", 1));
    run(async {
        let calls = (0..100_u8).map(|number| {
            let (client, target) = (client.clone(), node.target(2));
            async move { client.call(&target, Call::Propose, vec![number], HANG).await.unwrap() }
        });
        let answers = join_all(calls).await;
        assert!(answers.into_iter().eq((0..100).map(|number| vec![number])));
    });
    assert_eq!(node.rejected_at_all(), 0);
}

#[test]
fn a_silent_peer_times_out_and_delays_nobody() {
    let silent = Node::with(place("home", 2), Answer(|_| std::future::pending().boxed()), None);
    let (loud, client) = (Node::start(place("home", 3)), client(place("home", 1)));
    run(async {
        let target = silent.target(2);
        let waiting = Arc::new(AtomicBool::new(true));
        let limit = Duration::from_millis(300);
        let begun = Instant::now();
        let slow = async {
            let outcome = client.call(&target, Call::Vote, Vec::new(), limit).await;
            assert!(waiting.swap(false, Ordering::Relaxed));
            assert_eq!(outcome, Err(CallError::Timeout));
            assert!(begun.elapsed() >= limit);
        };
        let others = async {
            // Calls to other peers end while the silent one is waited for; `slow` cannot end before the first one.
            client.call(&loud.target(3), Call::Vote, Vec::new(), HANG).await.unwrap();
            while waiting.load(Ordering::Relaxed) {
                client.call(&loud.target(3), Call::Vote, Vec::new(), HANG).await.unwrap();
            }
        };
        tokio::join!(slow, others);
    });
}

#[test]
fn a_peer_that_takes_no_bytes_delays_nobody() {
    // Nobody accepts: a little of the snapshot fills the socket's buffers.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let stuck = Target { address: full.local_addr().unwrap().to_string(), node: Some(3) };
    let (node, client) = (Node::start(place("home", 2)), client(place("home", 1)));
    run(async {
        let body = vec![0; usize::try_from(Call::Snapshot.max_body()).unwrap()];
        let mut snapshot = std::pin::pin!(client.call(&stuck, Call::Snapshot, body, HANG));
        let target = node.target(2);
        let heartbeats = async {
            for _ in 0..100 {
                client.call(&target, Call::Append, Vec::new(), HANG).await.unwrap();
            }
        };
        tokio::select! {
            () = heartbeats => {}
            outcome = &mut snapshot => panic!("{outcome:?}"),
        }
    });
}

#[test]
fn a_call_goes_on_for_a_while_after_its_caller_gave_up() {
    let (begun, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let ended = Arc::new(Notify::new());
    let service = {
        let (begun, goes_on, ended) = (Arc::clone(&begun), Arc::clone(&goes_on), Arc::clone(&ended));
        Answer(move |_| {
            let (begun, goes_on, ended) = (Arc::clone(&begun), Arc::clone(&goes_on), Arc::clone(&ended));
            async move {
                begun.notify_one();
                goes_on.notified().await;
                ended.notify_one();
                Ok(Vec::new())
            }
            .boxed()
        })
    };
    let node = Node::with(place("home", 2), service, None);
    let client = client(place("home", 1));
    run(async {
        let target = node.target(2);
        tokio::select! {
            outcome = client.call(&target, Call::Append, Vec::new(), HANG) => panic!("{outcome:?}"),
            () = begun.notified() => {}
        }
        goes_on.notify_one();
        ended.notified().await;
    });
}

#[test]
fn an_address_where_nobody_listens_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = client(place("home", 1));
    run(async {
        for address in [
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
            format!("{}:1", "x".repeat(64)),
            "no port".to_owned(),
            "host".to_owned(),
            "host:1/path".to_owned(),
            "user@host:1".to_owned(),
            String::new(),
        ] {
            let target = Target { address, node: Some(2) };
            let outcome = client.call(&target, Call::Vote, Vec::new(), HANG).await;
            assert!(matches!(outcome, Err(CallError::Unreachable(_))), "{target:?}: {outcome:?}");
        }
    });
}

#[test]
fn a_name_is_resolved() {
    let node = Node::start(place("home", 2));
    let address = node.address().replace("127.0.0.1", "localhost");
    let client = client(place("home", 1));
    run(client.call(&Target { address, node: Some(2) }, Call::Vote, Vec::new(), HANG)).unwrap();
}
