//! Fetching from servers on loopback addresses that a test allows, by names that it makes up.

mod bounds;
mod reach;
mod server;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::task::LocalSet;

use self::server::{PNG, Server, answer, redirect};
use super::machine::Machine;
use super::*;

/// No step of a test takes this long: only a hang does.
const HANG: Duration = Duration::from_secs(60);

/// A machine with a resolver of the test's own.
#[derive(Debug, Default)]
pub(super) struct Pretended {
    names: HashMap<&'static str, Vec<IpAddr>>,
    tls: Option<Arc<ClientConfig>>,
    lookups: RefCell<Vec<String>>,
}

impl Pretended {
    fn knowing(names: &[(&'static str, &[&str])]) -> Self {
        let parsed = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        let names = names.iter().map(|(name, addresses)| (*name, parsed(addresses))).collect();
        Self { names, ..Self::default() }
    }

    pub(super) fn lookup(&self, name: &str, port: u16) -> io::Result<crate::upstream::Addresses> {
        self.lookups.borrow_mut().push(name.to_owned());
        let found = self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(found.iter().map(|address| SocketAddr::new(*address, port)).collect())
    }

    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(self.tls.as_ref().expect("the test uses no https"))
    }
}

/// Runs a test the way an actix worker runs: one thread, one `LocalSet`.
fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async { timeout(HANG, test).await.expect("the test hangs") }))
}

/// Limits under which 127.0.0.1 alone is as good as the public internet.
fn open_to(server: &Server) -> Limits {
    Limits {
        ports: vec![server.port],
        allowed_networks: vec!["127.0.0.1/32".parse().unwrap()],
        ..Limits::default()
    }
}

/// A fetcher that takes `img.test` for 127.0.0.1.
fn fetcher(limits: Limits) -> Fetcher {
    fetcher_on(limits, Pretended::knowing(&[("img.test", &["127.0.0.1"])])).0
}

fn fetcher_on(limits: Limits, machine: Pretended) -> (Fetcher, Rc<Pretended>) {
    let machine = Rc::new(machine);
    let fetcher =
        Fetcher { machine: Machine::Pretended(machine.clone()), ..Fetcher::new(Media::new(limits)) };
    (fetcher, machine)
}

#[test]
fn an_image_is_fetched_and_nothing_is_told_but_what_is_asked_for() {
    run(async {
        let server = Server::answering(|_| answer("image/png", PNG)).await;
        let url = format!("http://img.test:{}/a/b.png?size=1#part", server.port);
        let fetched = fetcher(open_to(&server)).fetch(&url).await.unwrap();
        assert_eq!(fetched.media_type, "image/png");
        assert_eq!(fetched.base64, "iVBORw0KGgoAAAANSUhEUg==");
        let expected = format!(
            "GET /a/b.png?size=1 HTTP/1.1\r\n\
             accept: image/png, image/jpeg, image/webp, image/gif\r\n\
             accept-encoding: identity\r\n\
             user-agent: ollamaflow/{}\r\n\
             connection: close\r\n\
             host: img.test:{}\r\n\r\n",
            env!("CARGO_PKG_VERSION"),
            server.port
        );
        assert_eq!(server.heads(), [expected]);
    });
}

#[test]
fn images_of_a_request_come_in_their_order() {
    run(async {
        let server =
            Server::answering(|path| answer("image/gif", format!("GIF89a {path:8}").as_bytes())).await;
        let urls: Vec<_> = (0..20).map(|i| format!("http://img.test:{}/{i}", server.port)).collect();
        let fetched = fetcher(open_to(&server)).fetch_all(&urls).await.unwrap();
        let expected: Vec<_> = (0..20)
            .map(|i| {
                base64::Engine::encode(
                    &base64::prelude::BASE64_STANDARD,
                    format!("GIF89a {:8}", format!("/{i}")),
                )
            })
            .collect();
        assert_eq!(fetched.into_iter().map(|image| image.base64).collect::<Vec<_>>(), expected);
    });
}

#[test]
fn every_kind_of_image_is_taken() {
    run(async {
        let server = Server::answering(|path| match path {
            "/png" => answer("image/png", PNG),
            "/jpg" => answer("image/jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01"),
            "/webp" => answer("image/webp; q=1", b"RIFF\x10\0\0\0WEBPVP8 "),
            _ => answer("IMAGE/GIF", b"GIF87a......"),
        })
        .await;
        let fetcher = fetcher(open_to(&server));
        for (path, kind) in
            [("png", "image/png"), ("jpg", "image/jpeg"), ("webp", "image/webp"), ("gif", "image/gif")]
        {
            let url = format!("http://127.0.0.1:{}/{path}", server.port);
            assert_eq!(fetcher.fetch(&url).await.unwrap().media_type, kind);
        }
    });
}
