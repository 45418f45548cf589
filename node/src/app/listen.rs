//! The listening sockets: from a configured host and port to bound listeners.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};

use socket2::{Domain, Protocol, Socket, Type};

use super::NodeError;
use crate::settings::{ListenHost, ListenTarget};

/// Connections that the kernel holds until a worker takes them. The standard library's 128 overflows when a
/// thousand clients connect at once, and each overflow costs a client a second.
const BACKLOG: i32 = 4096;

/// Binds every address that the configured name means. With port 0 only the first, since the system would give
/// each another port.
pub(super) fn bind(target: &ListenTarget) -> Result<Vec<TcpListener>, NodeError> {
    let failed = |source| NodeError::Listen { address: target.to_string(), source };
    let ListenTarget { host, port } = target;
    let port = *port;
    let ListenHost::Name(host) = host else {
        // An IPv6 socket takes IPv4 too, unless the machine has no IPv6.
        let six = listen((Ipv6Addr::UNSPECIFIED, port).into());
        let listener = six.or_else(|_| listen((Ipv4Addr::UNSPECIFIED, port).into())).map_err(failed)?;
        return Ok(vec![listener]);
    };
    let mut addresses: Vec<SocketAddr> = (host.as_str(), port).to_socket_addrs().map_err(failed)?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.dedup();
    if port == 0 {
        addresses.truncate(1);
    }
    let (bound, errors): (Vec<_>, Vec<_>) = addresses.iter().copied().map(listen).partition(Result::is_ok);
    // `localhost` may name an address family that the machine does not have; a port that is taken is an error.
    let in_use = |e: &io::Error| e.kind() == io::ErrorKind::AddrInUse;
    let mut errors: Vec<io::Error> = errors.into_iter().filter_map(Result::err).collect();
    let fatal = errors.iter().position(in_use).or(bound.is_empty().then_some(0));
    match fatal {
        Some(index) if index < errors.len() => Err(failed(errors.swap_remove(index))),
        Some(_) => Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
        None => Ok(bound.into_iter().filter_map(Result::ok).collect()),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.ip().is_unspecified() && address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    // The server's accept loop polls it.
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
