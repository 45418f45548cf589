//! What a fetch needs of the machine that it runs on: the addresses of names, and whom TLS trusts. Tests bring their own.

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;

use super::FetchError;
#[cfg(test)]
use super::tests::Pretended;
use crate::upstream::{Addresses, lookup, tls_config};

/// The machine.
#[derive(Clone, Debug, Default)]
pub(super) enum Machine {
    #[default]
    Real,
    #[cfg(test)]
    Pretended(std::rc::Rc<Pretended>),
}

// === impl Machine ===

impl Machine {
    /// The addresses of a name. `held` is dropped when the resolver is done.
    pub(super) async fn lookup(
        &self,
        name: &str,
        port: u16,
        held: impl Send + 'static,
    ) -> io::Result<Addresses> {
        match self {
            Self::Real => lookup(name.into(), port, held).await,
            #[cfg(test)]
            Self::Pretended(machine) => machine.lookup(name, port),
        }
    }

    /// How TLS is spoken with hosts of the public internet.
    pub(super) async fn tls(&self) -> Result<Arc<ClientConfig>, FetchError> {
        match self {
            // The first time it reads files.
            Self::Real => match tokio::task::spawn_blocking(|| tls_config(true)).await {
                Ok(config) => Ok(config?),
                Err(_) => Err(FetchError::Busy),
            },
            #[cfg(test)]
            Self::Pretended(machine) => Ok(machine.tls()),
        }
    }
}
