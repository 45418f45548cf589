//! What the pool notices of its idle connections by itself.

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::super::tests::run;
use super::*;

const TARGET: u64 = 7;

/// A pool that no test outlives, with `count` idle connections, and the servers' sides of those.
async fn filled(count: usize) -> (Rc<Pool>, Vec<TcpStream>) {
    let pool = Pool::new(Duration::from_secs(3600), 10);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut peers = Vec::new();
    for _ in 0..count {
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(connecting, listener.accept());
        pool.put(TARGET, Io::Tcp(stream.unwrap()));
        peers.push(accepted.unwrap().0);
    }
    (pool, peers)
}

/// Takes connections and puts them back until there is none to take: what the peer did takes its time to get here.
async fn exhausted(pool: &Pool) {
    while let Some(io) = pool.take(TARGET) {
        pool.put(TARGET, io);
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(pool.len(), 0);
}

#[test]
fn a_closed_connection_is_not_handed_out() {
    run(async {
        let (pool, peers) = filled(2).await;
        drop(peers);
        exhausted(&pool).await;
    });
}

#[test]
fn a_reset_connection_is_not_handed_out() {
    run(async {
        let (pool, peers) = filled(1).await;
        peers[0].set_zero_linger().unwrap();
        drop(peers);
        exhausted(&pool).await;
    });
}

#[test]
fn a_connection_on_which_the_server_speaks_unasked_is_not_handed_out() {
    run(async {
        let (pool, mut peers) = filled(1).await;
        peers[0].write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        exhausted(&pool).await;
    });
}

#[test]
fn a_sweep_closes_what_the_server_closed_and_nothing_else() {
    run(async {
        let (pool, mut peers) = filled(3).await;
        drop(peers.remove(1));
        while pool.len() == 3 {
            assert_eq!(pool.sweep(), Swept::Filled);
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(pool.len(), 2);
        drop(peers);
        while pool.sweep() == Swept::Filled {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(pool.len(), 0);
        assert!(pool.idle.borrow().is_empty(), "nothing is kept of a target without connections");
    });
}

#[test]
fn other_targets_have_other_connections() {
    run(async {
        let (pool, _peers) = filled(1).await;
        assert!(pool.take(TARGET + 1).is_none());
        assert!(pool.take(TARGET).is_some());
    });
}
