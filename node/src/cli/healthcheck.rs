//! `healthcheck`: asks the node on this machine whether it is ready, for container runtimes and scripts.
//!
//! Finds the node by the same settings that the node itself reads, so the command line needs nothing else. An image
//! without a shell or an HTTP client can have a health check this way.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use serde_json::json;
use thiserror::Error;

use super::{AnswerFormat, Verdict};
use crate::settings::{self, ListenHost, ListenTarget, Sources};
use crate::upstream::tls_config;

/// For the whole exchange. Shorter than the three seconds that the image gives the command.
const LIMIT: Duration = Duration::from_millis(2_500);

/// Bytes of the answer that are read: a status and a handful of reasons.
const MAX_ANSWER: usize = 64 * 1024;

/// Why the node could not be asked.
#[derive(Debug, Error)]
enum AskError {
    #[error("no node answers on {address}: {source}")]
    Unreachable { address: SocketAddr, source: io::Error },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("what answers on {address} does not speak HTTP")]
    NotHttp { address: SocketAddr },
    #[error("port 0 is another one at each start: set a port for a node to be asked")]
    AnyPort,
}

/// What the node answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
}

/// Asks `GET /readyz` and prints the body of the answer on `output`, or why there is none on `errors`. Good when the
/// node is ready. As JSON all but wrong settings is on `output`.
pub fn run(
    sources: Sources,
    format: AnswerFormat,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Verdict> {
    let loaded = match settings::load_for_client(sources) {
        Ok(loaded) => loaded,
        Err(error) => {
            for line in error.lines() {
                writeln!(errors, "error: {line}")?;
            }
            return Ok(Verdict::Faulty);
        }
    };
    let webserver = &loaded.settings.webserver;
    let found = addresses(&webserver.listen_target());
    match found.and_then(|addresses| ask_first(&addresses, webserver.ssl.enable)) {
        Ok(Answer { status: 200, body }) => {
            writeln!(output, "{}", body.trim_end())?;
            Ok(Verdict::Good)
        }
        Ok(Answer { body, .. }) if format == AnswerFormat::Json && body.trim_start().starts_with('{') => {
            writeln!(output, "{}", body.trim_end())?;
            Ok(Verdict::Faulty)
        }
        Err(error) if format == AnswerFormat::Json => {
            let document = json!({ "Ready": false, "Reasons": [error.to_string()] });
            writeln!(output, "{document}")?;
            Ok(Verdict::Faulty)
        }
        Ok(Answer { status, body }) => {
            writeln!(errors, "not ready (status {status}): {}", body.trim_end())?;
            Ok(Verdict::Faulty)
        }
        Err(error) => {
            writeln!(errors, "error: {error}")?;
            Ok(Verdict::Faulty)
        }
    }
}

/// Where a node with this listener can be reached from its own machine; never empty.
fn addresses(target: &ListenTarget) -> Result<Vec<SocketAddr>, AskError> {
    let port = target.port;
    if port == 0 {
        return Err(AskError::AnyPort);
    }
    let ListenHost::Name(host) = &target.host else {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    };
    let found: Vec<SocketAddr> =
        (host.as_str(), port).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    if found.is_empty() { Err(AskError::NoAddress { host: host.clone() }) } else { Ok(found) }
}

/// The answer of the first address where something answers; the error is that of the first one.
fn ask_first(addresses: &[SocketAddr], has_tls: bool) -> Result<Answer, AskError> {
    let deadline = Instant::now() + LIMIT;
    let mut first_error = None;
    for address in addresses {
        match ask(*address, deadline, has_tls) {
            Ok(answer) => return answer.ok_or(AskError::NotHttp { address: *address }),
            Err(source) => {
                first_error.get_or_insert(AskError::Unreachable { address: *address, source });
            }
        }
    }
    Err(first_error.unwrap_or(AskError::AnyPort))
}

fn ask(address: SocketAddr, deadline: Instant, has_tls: bool) -> io::Result<Option<Answer>> {
    let socket = TcpStream::connect_timeout(&address, left_until(deadline)?)?;
    socket.set_write_timeout(Some(left_until(deadline)?))?;
    socket.set_read_timeout(Some(left_until(deadline)?))?;
    if !has_tls {
        return exchange(address, &socket, &socket, deadline);
    }
    // The certificate is for the names that clients know, not for an address of this machine: what matters here is who
    // listens on this port, not who could pretend to.
    let config = tls_config(false).map_err(io::Error::other)?;
    let connection = ClientConnection::new(config, address.ip().into()).map_err(io::Error::other)?;
    exchange(address, StreamOwned::new(connection, &socket), &socket, deadline)
}

fn exchange(
    address: SocketAddr,
    mut stream: impl Read + Write,
    socket: &TcpStream,
    deadline: Instant,
) -> io::Result<Option<Answer>> {
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        socket.set_read_timeout(Some(left_until(deadline)?))?;
        let count = stream.read(&mut piece)?;
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        if count == 0 || answer.len() >= MAX_ANSWER {
            return Ok(parse(&answer));
        }
    }
}

fn left_until(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    // A time-out of nothing would mean none.
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// Status and body; chunked framing stays in the body, which is only shown to people.
fn parse(answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::net::TcpListener;
    use std::path::PathBuf;

    use super::*;
    use crate::settings::{Flags, ListenAddress, MissingFile};

    /// Serves one connection with `answer` and tells what `run` made of it: the verdict, its output and its errors.
    fn checked(answer: &'static str) -> (Verdict, String, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = io::BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            request.read_line(&mut line).unwrap();
            while request.read_line(&mut String::new()).unwrap() > 2 {}
            stream.write_all(answer.as_bytes()).unwrap();
            line
        });
        let outcome = run_on(port);
        assert_eq!(server.join().unwrap(), "GET /readyz HTTP/1.1\r\n");
        outcome
    }

    fn run_on(port: u16) -> (Verdict, String, String) {
        let flags =
            Flags { listen: Some(ListenAddress { host: "127.0.0.1".to_owned(), port }), ..Flags::default() };
        let mut sources = Sources::of_file(PathBuf::from("/nonexistent/ollamaflow.json"));
        (sources.missing_file, sources.flags) = (MissingFile::UseDefaults, flags);
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let verdict = run(sources, AnswerFormat::Text, &mut output, &mut errors).unwrap();
        (verdict, String::from_utf8(output).unwrap(), String::from_utf8(errors).unwrap())
    }

    #[test]
    fn a_ready_node_is_good_and_its_answer_is_shown() {
        let (verdict, output, errors) = checked("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{} \n");
        assert_eq!((verdict, output.as_str(), errors.as_str()), (Verdict::Good, "{}\n", ""));
    }

    #[test]
    fn a_node_that_is_not_ready_is_faulty_and_says_why() {
        let (verdict, output, errors) = checked("HTTP/1.1 503 Service Unavailable\r\n\r\n{\"Ready\":false}");
        assert_eq!((verdict, output.as_str()), (Verdict::Faulty, ""));
        assert_eq!(errors, "not ready (status 503): {\"Ready\":false}\n");
    }

    #[test]
    fn what_speaks_no_http_is_faulty() {
        let (verdict, _, errors) = checked("220 mail.example ESMTP\r\n\r\n");
        assert_eq!(verdict, Verdict::Faulty);
        assert!(errors.contains("does not speak HTTP"), "{errors}");
    }

    #[test]
    fn a_port_where_nobody_listens_is_faulty() {
        let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let (verdict, _, errors) = run_on(unused);
        assert_eq!(verdict, Verdict::Faulty);
        assert!(errors.contains("no node answers on 127.0.0.1"), "{errors}");
    }

    #[test]
    fn a_port_that_is_unknown_cannot_be_asked() {
        let (verdict, _, errors) = run_on(0);
        assert_eq!(verdict, Verdict::Faulty);
        assert!(errors.contains("port 0"), "{errors}");
    }

    #[test]
    fn a_listener_on_every_address_is_asked_on_the_loopback_ones() {
        let found = addresses(&ListenTarget { host: ListenHost::All, port: 80 }).unwrap();
        assert_eq!(found, [(Ipv4Addr::LOCALHOST, 80).into(), (Ipv6Addr::LOCALHOST, 80).into()]);
    }
}
