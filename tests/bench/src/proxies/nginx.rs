//! nginx as a plain streaming reverse proxy: upstream keep-alive, no buffering of answers, logs as asked for, no limits that a
//! scenario could reach, and a first read large enough for a whole small request.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::{Logs, Site};

/// The text of `nginx.conf`; temporary files go to `dir`.
pub(super) fn config(site: &Site, port: u16, dir: &Path) -> String {
    let Site { upstream, workers, max_connections, .. } = site;
    // As it comes: one write for each line. `buffer=` would gather them.
    let log = match site.logs {
        Logs::Plain | Logs::Off => "off".to_owned(),
        Logs::On | Logs::OneSink => format!("{}/access.log combined", dir.display()),
    };
    balanced(&format!("server {upstream};"), *workers, *max_connections, port, dir, &log)
}

/// The text for several servers, of which that with the fewest connections is taken.
pub(crate) fn least_conn(servers: &[SocketAddr], port: u16, dir: &Path) -> String {
    let mut upstream = String::from("least_conn;");
    for server in servers {
        // Writing to a string cannot fail.
        let _ = write!(upstream, " server {server};");
    }
    balanced(&upstream, 1, 4_096, port, dir, "off")
}

fn balanced(servers: &str, workers: u16, max_connections: u64, port: u16, dir: &Path, log: &str) -> String {
    let dir = dir.display();
    format!(
        "daemon off;
worker_processes {workers};
pid {dir}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {max_connections}; }}
http {{
  access_log {log};
  tcp_nodelay on;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_header_buffer_size 4k;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  client_body_temp_path {dir}/client_body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
  upstream backend {{
    {servers}
    keepalive 512;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_buffering off;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }}
  }}
}}
"
    )
}
