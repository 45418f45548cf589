//! Stopping, starting again, refusing, resetting.

use std::io::ErrorKind;

use ollamaflow_tests::client::{self, End, NoResponse, RawConnection, Request};
use ollamaflow_tests::simulated::{FaultKind, OpenConnections, SimulatedBackend};
use ollamaflow_tests::wait;

use crate::{native_chat, native_stream, ollama};

async fn is_refused(backend: &SimulatedBackend) -> bool {
    match RawConnection::open(backend).await {
        Ok(_) => false,
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::ConnectionRefused);
            true
        }
    }
}

#[tokio::test]
async fn a_stopped_backend_resets_refuses_and_comes_back_on_its_port() {
    let backend = ollama();
    backend.knobs(|knobs| knobs.tokens_per_second = 1.0 / 3600.0);
    let mut stream = native_stream(&backend).await;
    stream.next_piece().await;
    let port = backend.port();
    backend.stop();
    assert!(stream.next_piece().await.is_none());
    assert_eq!(stream.end(), Some(End::Reset));
    assert!(is_refused(&backend).await);
    let stats = backend.stats();
    assert_eq!((stats.inference.failed, stats.in_flight(), stats.connections_open), (1, 0, 0));
    backend.restart();
    assert_eq!(backend.port(), port);
    assert_eq!(client::get(&backend, "/").await.status(), 200);
    assert!(backend.loaded_models().is_empty());
}

#[tokio::test]
async fn a_stopped_backend_can_be_stopped_and_dropped_again() {
    let backend = ollama();
    for _ in 0..3 {
        backend.stop();
        backend.stop();
        backend.restart();
        assert_eq!(native_chat(&backend).await.status(), 200);
    }
    backend.stop();
    let address = backend.address();
    drop(backend);
    assert!(RawConnection::open(address).await.is_err());
}

#[tokio::test]
async fn refusing_closes_idle_connections_and_lets_busy_ones_finish() {
    let backend = ollama();
    backend.set_fault(FaultKind::HangMidStream { after_frames: 1, for_ms: Some(50) });
    let (_, mut idle) = Request::get("/").send(&backend).await.collect_reusable().await;
    let busy = native_stream(&backend).await;
    backend.set_fault(FaultKind::refuse());
    assert!(is_refused(&backend).await);
    let (_, close) = idle.read_to_end().await;
    assert_eq!(close, client::Close::Fin);
    assert_eq!(busy.collect().await.end, End::Complete);
    wait::until_eq("the busy one is closed too", || backend.stats().connections_open, 0).await;
    backend.clear_faults();
    assert!(!is_refused(&backend).await);
}

#[tokio::test]
async fn refusing_may_keep_or_reset_open_connections() {
    for (open_connections, kept) in [(OpenConnections::Keep, true), (OpenConnections::Reset, false)] {
        let backend = ollama();
        let (_, open) = Request::get("/").send(&backend).await.collect_reusable().await;
        backend.set_fault(FaultKind::Refuse { for_ms: None, open_connections });
        assert!(is_refused(&backend).await);
        match open.exchange(&Request::get("/")).await {
            Ok(response) => assert!(kept && response.status() == 200),
            Err(e) => assert!(!kept && matches!(e, NoResponse::Reset), "{e}"),
        }
    }
}

#[tokio::test]
async fn refusing_for_a_time_ends_by_itself() {
    let backend = ollama();
    backend.set_fault(FaultKind::Refuse { for_ms: Some(30), open_connections: OpenConnections::Keep });
    wait::until_answered("it listens again", async || match RawConnection::open(&backend).await {
        Ok(_) => Ok(()),
        Err(e) => Err(e.to_string()),
    })
    .await;
    assert!(backend.faults().is_empty());
}

#[tokio::test]
async fn a_reset_returns_to_the_beginning() {
    let backend = ollama();
    native_chat(&backend).await;
    backend.add_model("other");
    backend.knobs(|knobs| knobs.tokens = 1);
    backend.set_fault(FaultKind::refuse());
    backend.reset();
    assert_eq!((backend.stats().received(), backend.requests().len()), (0, 0));
    assert_eq!((backend.installed_models(), backend.loaded_models().len()), (vec!["m:latest".to_owned()], 0));
    assert_eq!(native_stream(&backend).await.lines().collect().await.0.len(), 23);
}
