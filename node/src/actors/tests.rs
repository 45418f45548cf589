//! The actors together: reconciliation with the catalog, and life after a crash.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use ollamaflow_protocol::catalog::Catalog;
use ollamaflow_protocol::id::{BackendId, FrontendId};
use ollamaflow_protocol::object::{Backend, Frontend};

use super::backend::BackendActor;
use super::frontend::FrontendActor;
use super::mailbox::Takes;
use super::supervisor::Supervisor;
use super::{ActorKind, Actors, BackendHandle, Directory, ProbeSettings};
use crate::catalog::CatalogPublisher;

/// Makes an actor panic.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Crash;

impl Handler<Crash> for Supervisor {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("crash on request");
    }
}

impl Takes<Crash> for BackendActor {
    fn take(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("crash on request");
    }
}

impl Takes<Crash> for FrontendActor {
    fn take(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("crash on request");
    }
}

fn probes() -> ProbeSettings {
    ProbeSettings {
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(5),
        startup_interval: Duration::from_millis(5),
        jitter_percent: 0,
    }
}

/// A server that answers every connection with 200.
fn healthy_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    port
}

fn catalog(backends: &[(&str, u16)]) -> Arc<Catalog> {
    let ids: Vec<BackendId> = backends.iter().map(|(id, _)| BackendId::try_from(*id).unwrap()).collect();
    let objects = ids.iter().zip(backends).map(|(id, (_, port))| {
        let mut backend = Backend::new(id.clone());
        backend.hostname = "127.0.0.1".into();
        backend.port = *port;
        backend
    });
    let mut frontend = Frontend::new(FrontendId::try_from("f").unwrap());
    frontend.backends.clone_from(&ids);
    Arc::new(Catalog::from_objects(vec![frontend], objects.collect()).unwrap())
}

fn backend(directory: &Directory, id: &str) -> Option<Arc<BackendHandle>> {
    directory.backend(&BackendId::try_from(id).unwrap())
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        actix_rt::time::sleep(Duration::from_millis(2)).await;
    }
}

#[actix_rt::test]
async fn crashed_actors_are_replaced_and_their_published_state_and_counts_live_on() {
    let port = healthy_server();
    let (publisher, reader) = CatalogPublisher::new(catalog(&[("b", port)]));
    let actors = Actors::start(reader, probes()).await;
    let directory = actors.directory();
    let handle = backend(&directory, "b").unwrap();
    until("healthy", || handle.view().health.is_healthy()).await;
    let permit = handle.claim(&handle.view(), Instant::now()).unwrap();

    handle.tell_crash();
    until("the backend actor is dead", || !handle.is_alive()).await;
    assert!(handle.view().health.is_healthy(), "a crash of the actor is no failure of the backend");
    // The configuration changes while nobody is there to hear it.
    publisher.publish(catalog(&[("b", 1)]));
    until("the backend actor is back", || handle.is_alive()).await;
    until("it has caught up with the change", || handle.view().config.port == 1).await;
    assert_eq!(handle.in_flight(), 1);
    assert_eq!(directory.restarts(ActorKind::Backend), 1);
    drop(permit);
    assert_eq!(handle.in_flight(), 0);

    let frontend = directory.frontend_for(None).unwrap();
    frontend.tell_crash();
    until("the frontend actor is dead", || !frontend.is_alive()).await;
    assert_eq!(frontend.view().backends().count(), 1, "requests still find the table");
    until("the frontend actor is back", || frontend.is_alive()).await;
    until("its messages were taken", || frontend.mail() + handle.mail() == 0).await;
    assert_eq!(ActorKind::ALL.map(|kind| directory.restarts(kind)), [0, 1, 1]);
    actors.stop();
}

#[actix_rt::test]
async fn a_crashed_supervisor_is_replaced_and_its_successor_adopts_the_actors() {
    let port = healthy_server();
    let (publisher, reader) = CatalogPublisher::new(catalog(&[("b", port)]));
    let actors = Actors::start(reader, probes()).await;
    let directory = actors.directory();
    let handle = backend(&directory, "b").unwrap();
    until("healthy", || handle.view().health.is_healthy()).await;
    let before = handle.view().health;

    actors.crash_supervisor();
    publisher.publish(catalog(&[("b", port), ("c", port)]));
    until("the successor applies changes", || backend(&directory, "c").is_some()).await;
    let same = backend(&directory, "b").unwrap();
    assert_eq!(ActorKind::ALL.map(|kind| directory.restarts(kind)), [1, 0, 0]);
    assert!(Arc::ptr_eq(&same, &handle), "running backends are adopted, not made anew");
    assert_eq!(same.view().health, before);
    actors.stop();
}

#[actix_rt::test]
async fn a_catalog_that_the_actors_have_not_taken_up_yet_is_not_probed() {
    let port = healthy_server();
    let (publisher, reader) = CatalogPublisher::new(Arc::default());
    let actors = Actors::start(reader, probes()).await;
    let directory = actors.directory();
    assert!(directory.is_probed(&Catalog::default()), "nothing is to be found out");

    let applied = catalog(&[("b", port)]);
    assert!(!directory.is_probed(&applied), "an empty directory knows nothing about the backend");
    publisher.publish(applied.clone());
    until("the backend has a verdict", || directory.is_probed(&applied)).await;
    assert!(backend(&directory, "b").unwrap().view().health.is_healthy());
    actors.stop();
}

#[actix_rt::test]
async fn a_new_address_starts_health_anew_and_a_removed_backend_keeps_its_leases() {
    let port = healthy_server();
    let (publisher, reader) = CatalogPublisher::new(catalog(&[("b", port)]));
    let actors = Actors::start(reader, probes()).await;
    let directory = actors.directory();
    let handle = backend(&directory, "b").unwrap();
    until("healthy", || handle.view().health.is_healthy()).await;

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    publisher.publish(catalog(&[("b", closed)]));
    until("health starts anew", || !handle.view().health.is_healthy()).await;

    let permit = handle.claim(&handle.view(), Instant::now()).unwrap();
    publisher.publish(catalog(&[]));
    until("the backend is gone", || backend(&directory, "b").is_none()).await;
    until("its actor has stopped", || !handle.is_alive()).await;
    assert_eq!(permit.backend().in_flight(), 1);
    actors.stop();
}
