//! Where a node listens: loopback unless told otherwise, and a clear error when it cannot.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use ollamaflow_tests::client;
use ollamaflow_tests::node::{Node, Signal};
use serde_json::json;

use crate::program::Program;

const NO_ARGUMENTS: [&str; 0] = [];

/// Whether something listens on this port at another address of the loopback net than `127.0.0.1`.
async fn answers_at_another_address(port: u16) -> bool {
    let another = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
    client::RawConnection::open(another).await.is_ok()
}

#[tokio::test]
async fn a_node_listens_on_loopback_alone_unless_told_otherwise() {
    let program = Program::with_settings(&json!({})).env("OLLAMAFLOW_WEBSERVER__PORT", "0");
    let mut node = program.start(NO_ARGUMENTS);
    let address = node.listening().await;
    assert!(address.ip().is_loopback(), "{address}");
    if address.is_ipv4() {
        assert!(!answers_at_another_address(address.port()).await);
    }
}

#[tokio::test]
async fn without_a_subcommand_and_with_serve_the_same_happens() {
    for arguments in [vec!["--listen", "127.0.0.1:0"], vec!["serve", "--listen", "127.0.0.1:0"]] {
        let program = Program::with_settings(&json!({}));
        let mut node = program.start(arguments);
        let address = node.listening().await;
        assert_eq!(client::get(address, "/").await.collect().await.text(), "Ollama is running");
    }
}

#[tokio::test]
async fn the_listen_flag_decides_the_address() {
    let program = Program::with_settings(&json!({ "Webserver": { "Hostname": "localhost", "Port": 1 } }));
    let mut node = program.start(["--listen", "127.0.0.5:0"]);
    let address = node.listening().await;
    assert_eq!(address.ip(), IpAddr::from([127, 0, 0, 5]));
    assert_eq!(client::get(address, "/").await.head.status, 200);
}

#[tokio::test]
async fn a_star_listens_on_every_address() {
    let program = Program::with_settings(&json!({}));
    let mut node = program.start(["--listen", "*:0"]);
    let address = node.listening().await;
    assert!(address.ip().is_unspecified(), "{address}");
    assert!(answers_at_another_address(address.port()).await);
}

#[tokio::test]
async fn an_ipv6_address_stands_in_brackets() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("skipped: this machine has no IPv6");
        return;
    }
    let program = Program::with_settings(&json!({}));
    let mut node = program.start(["--listen", "[::1]:0"]);
    let address = node.listening().await;
    assert_eq!(address.ip().to_string(), "::1");
    assert_eq!(client::get(address, "/").await.head.status, 200);
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let printed = Program::with_settings(&json!({})).run(["--listen", &address]).await;
    assert_eq!(printed.code, Some(1));
    assert_eq!(printed.stdout, "");
    let sentence = format!("error: cannot listen on {address}: ");
    assert!(printed.stderr.contains(&sentence), "{}", printed.stderr);
    assert!(printed.stderr.to_lowercase().contains("in use"), "{}", printed.stderr);
}

#[tokio::test]
async fn an_address_of_another_machine_is_a_clear_error() {
    let printed = Program::with_settings(&json!({})).run(["--listen", "192.0.2.1:0"]).await;
    assert_eq!(printed.code, Some(1));
    assert!(printed.stderr.contains("error: cannot listen on 192.0.2.1:0: "), "{}", printed.stderr);
}

#[tokio::test]
async fn a_signal_to_end_is_obeyed_from_the_start_on_with_exit_code_0() {
    for signal in [Signal::Term, Signal::Interrupt].repeat(3) {
        let mut node = Node::builder().start().await;
        node.signal(signal);
        assert_eq!(node.wait_exit().await.code(), Some(0), "{signal:?}");
    }
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_a_usage_error() {
    for arguments in [vec!["frobnicate"], vec!["--port", "1"], vec!["config"]] {
        let printed = Program::new().run(&arguments).await;
        assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(printed.stderr.contains("Usage"), "{}", printed.stderr);
    }
}
