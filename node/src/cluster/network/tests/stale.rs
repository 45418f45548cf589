//! Kept connections that died.

use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Passes bytes on between a client and a node, and breaks connections when it is told to.
struct Wire {
    address: String,
    /// How many connections are to be broken by the next request on them.
    to_break: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    fn to(node: &Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap().to_string(),
            to_break: Arc::default(),
            connections: Arc::default(),
        };
        let (to_break, connections) = (Arc::clone(&wire.to_break), Arc::clone(&wire.connections));
        let there = node.address();
        std::thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                connections.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&there).unwrap();
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || pass(back.0, back.1, &AtomicUsize::new(0)));
                let to_break = Arc::clone(&to_break);
                std::thread::spawn(move || pass(client, server, &to_break));
            }
        });
        wire
    }
}

/// Passes bytes on until one side ends, or the connection is to be broken.
fn pass(mut from: TcpStream, mut to: TcpStream, to_break: &AtomicUsize) {
    let mut piece = [0; 4096];
    while let Ok(read) = from.read(&mut piece) {
        let broken = || {
            let one_less = |count: usize| count.checked_sub(1);
            to_break.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok()
        };
        if read == 0 || broken() || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

#[test]
fn a_kept_connection_that_breaks_costs_no_call() {
    let node = Node::start(place("home", 2));
    let wire = Wire::to(&node);
    let target = Target { address: wire.address.clone(), node: Some(2) };
    let client = client(place("home", 1));
    run(async {
        let append = || client.call(&target, Call::Append, b"entries".to_vec(), HANG);
        append().await.unwrap();
        // The first one ended with telling the peer's run.
        assert_eq!(wire.connections.load(Ordering::SeqCst), 2);
        append().await.unwrap();
        assert_eq!(wire.connections.load(Ordering::SeqCst), 2, "the connection was not kept");
        for breaks in 2..=6 {
            wire.to_break.store(1, Ordering::SeqCst);
            append().await.unwrap();
            assert!(wire.connections.load(Ordering::SeqCst) > breaks);
        }
        // Once more is not tried for ever.
        wire.to_break.store(2, Ordering::SeqCst);
        assert!(matches!(append().await, Err(CallError::Unreachable(_))));
        append().await.unwrap();
    });
    // Each attempt had a counter of its own.
    assert_eq!(node.rejected_at_all(), 0);
}

#[test]
fn a_connection_that_the_peer_closed_is_not_used() {
    let node = Node::start(place("home", 2));
    let client = client(place("home", 1));
    let target = node.target(2);
    run(client.call(&target, Call::Vote, Vec::new(), HANG)).unwrap();
    let node = node.restart(place("home", 2));
    // The old connection may live a moment longer than the node.
    while node.rejected(Reason::EarlierRun) == 0 {
        run(client.call(&target, Call::Vote, Vec::new(), HANG)).unwrap();
    }
}
