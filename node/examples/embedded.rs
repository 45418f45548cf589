//! A node inside a program: it carries one request to a backend, and is shut down.
//!
//! ```sh
//! cargo run -p ollamaflow --example embedded -- 127.0.0.1:11434
//! ```

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ollamaflow::{Backend, Frontend, Node, Settings};

/// How long the backend may take until it is found healthy.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<(), Box<dyn Error>> {
    let backend = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:11434".to_owned()).parse()?;
    let directory = std::env::temp_dir().join("ollamaflow-embedded");
    let models = models_behind_a_node(backend, &directory)?;
    writeln!(io::stdout(), "{models}")?;
    Ok(())
}

/// What the backend answers to `GET /api/tags`, asked through a node that lives as long as this call.
pub fn models_behind_a_node(backend: SocketAddr, directory: &Path) -> Result<String, Box<dyn Error>> {
    let node = Node::start(settings(backend, directory)?)?;
    let answer = first_answer(node.address());
    // The other way out, dropping the node, does not wait for requests.
    node.shutdown()?;
    Ok(answer?)
}

/// One frontend for every host, before one backend.
fn settings(backend: SocketAddr, directory: &Path) -> Result<Settings, Box<dyn Error>> {
    let mut engine = Backend::new("engine".parse()?);
    engine.hostname = backend.ip().to_string();
    engine.port = backend.port();
    let mut everyone = Frontend::new("everyone".parse()?);
    everyone.backends = vec![engine.identifier.clone()];

    let mut settings = Settings::default();
    settings.webserver.hostname = "127.0.0.1".into();
    settings.webserver.port = 0;
    settings.data_directory = directory.display().to_string();
    settings.frontends = vec![everyone];
    settings.backends = vec![engine];
    Ok(settings)
}

/// Asks until a backend has been found healthy: a node listens before it knows.
fn first_answer(node: SocketAddr) -> io::Result<String> {
    let since = Instant::now();
    loop {
        let answer = get(node, "/api/tags")?;
        if answer.starts_with("HTTP/1.1 200 ") {
            return Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()));
        }
        if since.elapsed() > PATIENCE {
            return Err(io::Error::other(answer));
        }
        sleep(Duration::from_millis(50));
    }
}

fn get(node: SocketAddr, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(node)?;
    write!(connection, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}
