//! Syslog: what a receiver gets, and what happens without one.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use ollamaflow_tests::node::Node;
use ollamaflow_tests::setup::Setup;
use ollamaflow_tests::wait;
use serde_json::{Value, json};

use crate::{PROMPT, chat, ollama};

/// A receiver that remembers what came.
struct Receiver {
    socket: UdpSocket,
    got: Vec<String>,
}

/// A datagram, taken apart as RFC 5424 section 6 says.
#[derive(Debug)]
struct Message {
    facility: u8,
    severity: u8,
    time: String,
    host: String,
    app: String,
    process: String,
    kind: String,
    text: String,
}

impl Receiver {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, got: Vec::new() }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    fn server(&self) -> Value {
        json!({ "Hostname": "127.0.0.1", "Port": self.port() })
    }

    fn messages(&mut self) -> Vec<Message> {
        let mut buffer = vec![0; 65_536];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.got.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        self.got.iter().map(|text| Message::parse(text)).collect()
    }
}

impl Message {
    fn parse(datagram: &str) -> Self {
        assert!(!datagram.contains('\n'), "{datagram:?}");
        let rest = datagram.strip_prefix('<').unwrap();
        let (priority, rest) = rest.split_once('>').unwrap();
        assert!((1..=3).contains(&priority.len()) && !priority.starts_with('0'), "{datagram}");
        let priority: u8 = priority.parse().unwrap();
        let mut parts = rest.splitn(8, ' ').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_else(|| panic!("too short: {datagram}"));
        assert_eq!(next(), "1", "the version");
        let (time, host, app, process, kind) = (next(), next(), next(), next(), next());
        assert_eq!(next(), "-", "structured data");
        for (name, longest) in [(&host, 255), (&app, 48), (&process, 128), (&kind, 32)] {
            assert!(
                (1..=longest).contains(&name.len()) && name.bytes().all(|it| it.is_ascii_graphic()),
                "{name}"
            );
        }
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 27, "{time}");
        Self { facility: priority / 8, severity: priority % 8, time, host, app, process, kind, text: next() }
    }
}

async fn node(logging: Value) -> (ollamaflow_tests::simulated::SimulatedBackend, Node) {
    let backend = ollama();
    let node = Setup::new().backend(&backend).settings(json!({ "Logging": logging })).start().await;
    (backend, node)
}

#[tokio::test]
async fn each_server_gets_everything_with_the_right_severity() {
    let (mut one, mut other) = (Receiver::start(), Receiver::start());
    let (backend, node) =
        node(json!({ "MinimumSeverity": 0, "Servers": [one.server(), other.server()] })).await;
    chat(true).send(node.addr()).await.collect().await;
    backend.stop();
    for receiver in [&mut one, &mut other] {
        let of = |messages: &[Message], kind: &str, severity: u8, text: &str| {
            messages.iter().any(|it| it.kind == kind && it.severity == severity && it.text.contains(text))
        };
        wait::until("all severities have come", || {
            let messages = receiver.messages();
            of(&messages, "access", 6, "request ended request=")
                && of(&messages, "ollamaflow::app", 6, "listening address=")
                && of(&messages, "ollamaflow::actors::backend", 7, "probe failed")
                && messages.iter().any(|it| it.severity == 7)
        })
        .await;
        let messages = receiver.messages();
        assert!(messages.iter().all(|it| it.facility == 16 && [3, 4, 6, 7].contains(&it.severity)));
        assert!(messages.iter().all(|it| it.app == "ollamaflow" && it.process == node.pid().to_string()));
        assert!(messages.iter().all(|it| it.host == messages[0].host && it.time >= messages[0].time));
        assert!(!messages.iter().any(|it| it.text.contains(PROMPT)));
    }
}

#[tokio::test]
async fn warnings_are_warnings() {
    let mut receiver = Receiver::start();
    let settings = json!({ "Logging": { "Servers": [receiver.server()] }, "NoSuchSetting": 1 });
    let _node = Node::builder().settings(&settings).start().await;
    wait::until("the warning has come", || {
        receiver.messages().iter().any(|it| it.severity == 4 && it.text.contains("NoSuchSetting"))
    })
    .await;
}

#[tokio::test]
async fn messages_are_json_if_that_is_wanted() {
    let mut receiver = Receiver::start();
    let (_backend, node) = node(json!({ "Format": "Json", "Servers": [receiver.server()] })).await;
    chat(true).send(node.addr()).await.collect().await;
    wait::until("the line of the request has come", || {
        receiver.messages().iter().any(|it| it.kind == "access")
    })
    .await;
    for message in receiver.messages() {
        let object: Value =
            serde_json::from_str(&message.text).unwrap_or_else(|e| panic!("{e}: {message:?}"));
        assert!(object["message"].is_string());
    }
}

#[tokio::test]
async fn long_messages_are_cut() {
    let mut receiver = Receiver::start();
    let backend = ollama();
    let settings = json!({ "Logging": { "Servers": [receiver.server()] } });
    let node =
        Setup::new().backend(&backend).frontend("LogRequestBody", true).settings(settings).start().await;
    let body = json!({ "model": "m", "prompt": "y".repeat(100_000) });
    let request = ollamaflow_tests::client::Request::post("/api/generate").json(&body);
    request.send(node.addr()).await.collect().await;
    wait::until("the body has come", || receiver.messages().iter().any(|it| it.kind == "ollamaflow::bodies"))
        .await;
    let longest = receiver.got.iter().max_by_key(|it| it.len()).unwrap();
    assert!(longest.len() == 8192 && longest.ends_with("[cut]"), "{}", longest.len());
}

#[tokio::test]
async fn a_server_that_is_not_there_delays_nobody_and_is_found_when_it_comes() {
    let mut receiver = Receiver::start();
    let port = receiver.port();
    drop(receiver);
    let server = json!({ "Hostname": "127.0.0.1", "Port": port });
    let unknown = json!({ "Hostname": "no-such-host.invalid", "Port": 514 });
    let (_backend, node) = node(json!({ "Servers": [server, unknown] })).await;
    let started = Instant::now();
    for _ in 0..50 {
        assert_eq!(chat(false).send(node.addr()).await.collect().await.status(), 200);
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    wait::until("it is told", || node.logs().contains("a syslog server cannot be reached")).await;
    wait::until_answered("the loss is counted", async || {
        let metrics = node.metrics().await;
        match metrics.count("ollamaflow_log_lines_lost_total", &[("sink", "syslog"), ("reason", "failed")]) {
            Some(count) if count >= 50 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    socket.set_nonblocking(true).unwrap();
    receiver = Receiver { socket, got: Vec::new() };
    wait::until_answered("it gets lines again", async || {
        chat(false).send(node.addr()).await.collect().await;
        if receiver.messages().is_empty() { Err("nothing".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_does_not_read_delays_nobody() {
    // Its buffer fills, and the system drops what comes after.
    let receiver = Receiver::start();
    let (_backend, node) = node(json!({ "Servers": [receiver.server()] })).await;
    let address = node.addr();
    let answers = ollamaflow_tests::client::many(500, move |_| async move {
        chat(false).send(address).await.collect().await.status()
    });
    assert!(answers.await.into_iter().all(|status| status == 200));
}
