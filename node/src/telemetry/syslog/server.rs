//! One syslog server: its socket, and what happens when it cannot be reached.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use crate::settings::SyslogServer;
use crate::telemetry::queue::{Sink, Written};

/// How long a server is left alone that refuses datagrams or whose name is not known.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an address is used before the name is looked up anew.
const FRESH: Duration = Duration::from_secs(600);

/// Random ports of the settings' range that are tried before the system may choose one.
const TRIES: usize = 16;

/// Bytes of a length before each datagram in the queue.
const LENGTH: usize = 4;

/// A server that datagrams are sent to.
pub(in crate::telemetry) struct Server {
    name: String,
    host: String,
    port: u16,
    /// The ports to send from, if any will not do.
    from: Option<RangeInclusive<u16>>,
    /// Whether it is the one that nobody has asked for: its absence is no news.
    is_default: bool,
    socket: Option<(UdpSocket, Instant)>,
    /// Whether it has just been left alone.
    has_rested: bool,
    /// Whether it has been told that it cannot be reached.
    is_lost: bool,
}

// === impl Server ===

impl Server {
    pub(in crate::telemetry) fn new(settings: &SyslogServer) -> Self {
        let SyslogServer { hostname, port, randomize_ports, minimum_port, maximum_port } = settings;
        let bare = hostname.trim_start_matches('[').trim_end_matches(']');
        let name = if bare.contains(':') { format!("[{bare}]:{port}") } else { format!("{bare}:{port}") };
        Self {
            name,
            host: bare.to_owned(),
            port: *port,
            from: randomize_ports.then_some(*minimum_port..=*maximum_port),
            is_default: bare == "127.0.0.1" && *port == 514,
            socket: None,
            has_rested: false,
            is_lost: false,
        }
    }

    /// Host and port.
    pub(in crate::telemetry) fn name(&self) -> &str {
        &self.name
    }

    /// A datagram as it waits in the queue.
    pub(in crate::telemetry) fn framed(datagram: &[u8]) -> Option<[u8; LENGTH]> {
        Some(u32::try_from(datagram.len()).ok()?.to_le_bytes())
    }

    fn send_all(&mut self, mut records: &[u8]) -> Result<(), (io::Error, u64)> {
        let socket = match self.socket.take().filter(|(_, since)| since.elapsed() < FRESH) {
            Some(socket) => socket,
            None => (self.connect().map_err(|e| (e, 0))?, Instant::now()),
        };
        let mut sent = 0;
        while let Some((length, rest)) = records.split_first_chunk::<LENGTH>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let (datagram, rest) = rest.split_at(length.min(rest.len()));
            records = rest;
            socket.0.send(datagram).map_err(|e| (e, sent))?;
            sent += 1;
        }
        self.socket = Some(socket);
        Ok(())
    }

    fn connect(&self) -> io::Result<UdpSocket> {
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            let connected = self.bind(address).and_then(|socket| {
                socket.connect(address)?;
                Ok(socket)
            });
            match connected {
                Ok(socket) => return Ok(socket),
                Err(e) => error = e,
            }
        }
        Err(error)
    }

    fn bind(&self, to: SocketAddr) -> io::Result<UdpSocket> {
        let from = |port: u16| match to {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
        };
        if let Some(ports) = self.from.as_ref().filter(|ports| !ports.is_empty()) {
            let chosen = (0..TRIES).find_map(|_| UdpSocket::bind(from(fastrand::u16(ports.clone()))).ok());
            if let Some(socket) = chosen {
                return Ok(socket);
            }
        }
        UdpSocket::bind(from(0))
    }

    fn tell(&mut self, error: Option<&io::Error>) {
        let is_lost = error.is_some();
        if is_lost == std::mem::replace(&mut self.is_lost, is_lost) {
            return;
        }
        let server = &self.name;
        match error {
            None => {}
            Some(error) if self.is_default => tracing::debug!(server, %error, "no syslog server is there"),
            Some(error) => tracing::warn!(
                server, %error,
                "a syslog server cannot be reached; lines for it are lost until it can: correct Logging.Servers"
            ),
        }
    }
}

impl Sink for Server {
    fn write(&mut self, records: &[u8], count: u64) -> Written {
        match self.send_all(records) {
            Ok(()) => {
                // That a datagram was sent says nothing; that another one was not refused says little.
                if !std::mem::take(&mut self.has_rested) {
                    self.tell(None);
                }
                Written::default()
            }
            Err((error, sent)) => {
                self.has_rested = true;
                self.tell(Some(&error));
                // A refusal is told of by the next datagram: the one before it is lost too.
                let refused = u64::from(error.kind() == io::ErrorKind::ConnectionRefused);
                Written { lost: count - sent + refused, rest: Some(PAUSE) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16, randomize_ports: bool) -> Server {
        let settings = SyslogServer { port, randomize_ports, ..SyslogServer::default() };
        Server::new(&settings)
    }

    fn records(datagrams: &[&str]) -> Vec<u8> {
        datagrams
            .iter()
            .flat_map(|text| [&Server::framed(text.as_bytes()).unwrap()[..], text.as_bytes()].concat())
            .collect()
    }

    #[test]
    fn each_record_is_one_datagram() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut server = server(receiver.local_addr().unwrap().port(), true);
        assert_eq!(server.write(&records(&["one", "", "three"]), 3), Written::default());
        let mut buffer = [0; 64];
        for expected in ["one", "", "three"] {
            let (length, from) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
            assert!(from.port() >= 65_000, "{from}");
        }
    }

    #[test]
    fn a_server_that_is_not_there_is_left_alone_for_a_while_and_found_again() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        drop(receiver);
        let mut server = server(address.port(), false);
        let mut written = Written::default();
        while written == Written::default() {
            written = server.write(&records(&["x"]), 1);
        }
        assert_eq!(written, Written { lost: 2, rest: Some(PAUSE) }, "the one before and this one");

        let receiver = UdpSocket::bind(address).unwrap();
        assert_eq!(server.write(&records(&["again"]), 1), Written::default());
        let mut buffer = [0; 64];
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 5);
    }

    #[test]
    fn names_are_host_and_port() {
        let name = |hostname: &str| {
            let settings = SyslogServer { hostname: hostname.to_owned(), ..SyslogServer::default() };
            Server::new(&settings).name().to_owned()
        };
        assert_eq!(name("log.lan"), "log.lan:514");
        assert_eq!((name("::1"), name("[::1]")), ("[::1]:514".to_owned(), "[::1]:514".to_owned()));
    }
}
