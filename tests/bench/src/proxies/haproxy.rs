//! haproxy as a plain reverse proxy that reuses upstream connections and, like the others, ends the upstream request
//! when the client leaves. `http-no-delay` is what its manual asks for where single chunks matter: without it, chunks
//! are held back for up to 200 ms to be sent together.

use super::{Logs, Site};

/// The text of `haproxy.cfg`.
pub(super) fn config(site: &Site, port: u16) -> String {
    let Site { upstream, workers, max_connections, .. } = site;
    // Its limit counts client connections; each needs one to the upstream.
    let max_clients = max_connections / 2;
    // Its standard output is a file; its usual way, a datagram to syslog, costs about as much.
    let (sink, lines) = match site.logs {
        Logs::Plain | Logs::Off => ("", ""),
        Logs::On | Logs::OneSink => {
            ("  log stdout format raw local0 info\n", "  log global\n  option httplog\n")
        }
    };
    format!(
        "global
  nbthread {workers}
  maxconn {max_clients}
{sink}defaults
  mode http
  maxconn {max_clients}
  option http-keep-alive
  option abortonclose
  option http-no-delay
{lines}  http-reuse always
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
frontend clients
  bind 127.0.0.1:{port} backlog 4096
  default_backend upstream
backend upstream
  server one {upstream}
"
    )
}
