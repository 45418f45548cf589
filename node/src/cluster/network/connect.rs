//! The connections of the client: names resolved anew for each, one lookup of a name at a time, no delayed bytes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use actix_service::ServiceExt as _;
use actix_tls::connect::{ConnectInfo, Resolve, Resolver};
use awc::http::Uri;
use awc::{Client, Connector};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use rustls::ClientConfig;
use tokio::sync::Semaphore;

/// Longest wait for a connection, its name's lookup included, and once more for the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an unused connection is kept. Below what the server keeps it, so that this side closes.
const KEEP: Duration = Duration::from_secs(15);

/// Addresses of one name that are tried at most.
const MAX_ADDRESSES: usize = 8;

/// Names whose lookups are told apart; more than a cluster ever has.
const MAX_NAMES: usize = 256;

/// A client that keeps its connections or, with `keep` false, makes a new one for each call.
pub(super) fn client(tls: Option<Arc<ClientConfig>>, keep: bool) -> Client {
    let tcp = actix_tls::connect::Connector::new(Resolver::custom(Lookups::default())).service();
    let undelayed = actix_service::IntoService::<_, ConnectInfo<Uri>>::into_service(tcp).map(
        |connection: actix_tls::connect::Connection<Uri, tokio::net::TcpStream>| {
            if let Err(error) = connection.io_ref().set_nodelay(true) {
                // Only slower, not wrong.
                tracing::debug!(%error, "nagle's algorithm could not be switched off");
            }
            connection
        },
    );
    let mut connector = Connector::new()
        .connector(undelayed)
        .timeout(CONNECT_TIMEOUT)
        .handshake_timeout(CONNECT_TIMEOUT)
        .conn_keep_alive(if keep { KEEP } else { Duration::ZERO })
        // What is under way is bounded for each peer: one that hangs must not stop the calls to others.
        .limit(0);
    if let Some(tls) = tls {
        connector = connector.rustls_0_23(tls);
    }
    Client::builder().connector(connector).disable_redirects().disable_timeout().no_default_headers().finish()
}

/// Resolves names by the operating system, on blocking threads. A resolver that hangs on one name holds one thread,
/// and lookups of other names go on.
#[derive(Default)]
struct Lookups(RefCell<HashMap<Box<str>, Arc<Semaphore>>>);

// === impl Lookups ===

impl Lookups {
    /// The turn of that name; none if too many names are being looked up.
    fn turn(&self, name: &str) -> Option<Arc<Semaphore>> {
        let mut turns = self.0.borrow_mut();
        if let Some(turn) = turns.get(name) {
            return Some(Arc::clone(turn));
        }
        if turns.len() >= MAX_NAMES {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            if turns.len() >= MAX_NAMES {
                return None;
            }
        }
        let turn = Arc::new(Semaphore::new(1));
        turns.insert(name.into(), Arc::clone(&turn));
        Some(turn)
    }
}

impl Resolve for Lookups {
    fn lookup<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> LocalBoxFuture<'a, Result<Vec<SocketAddr>, Box<dyn Error>>> {
        let turn = self.turn(host);
        // A URL has brackets around IPv6 addresses.
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        async move {
            let turn = turn.ok_or("too many names are being looked up")?;
            // Given back when the lookup is done, even if nobody waits for it any more.
            let permit = turn.acquire_owned().await?;
            let found = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                (name.as_str(), port)
                    .to_socket_addrs()
                    .map(|addresses| addresses.take(MAX_ADDRESSES).collect::<Vec<_>>())
            });
            Ok(found.await??)
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_that_hangs_holds_up_its_own_name_only() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lookups = Lookups::default();
            let hangs = lookups.turn("127.0.0.2").unwrap().acquire_owned().await.unwrap();
            let mut waits = lookups.lookup("127.0.0.2", 2);
            let other = lookups.lookup("[::1]", 1);
            tokio::select! {
                biased;
                found = &mut waits => panic!("{found:?}"),
                found = other => assert_eq!(found.unwrap(), ["[::1]:1".parse().unwrap()]),
            }
            drop(hangs);
            assert_eq!(waits.await.unwrap(), ["127.0.0.2:2".parse().unwrap()]);
        });
    }

    #[test]
    fn names_that_are_looked_up_are_bounded_and_forgotten() {
        let lookups = Lookups::default();
        let mut turns: Vec<_> =
            (0..MAX_NAMES).map(|number| lookups.turn(&number.to_string()).unwrap()).collect();
        assert!(lookups.turn("one more").is_none());
        turns.pop();
        lookups.turn("one more").unwrap();
    }
}
