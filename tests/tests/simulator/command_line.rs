//! The binary.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use ollamaflow_tests::client;
use serde_json::json;

/// Ends the child however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn the_binary_serves_what_its_arguments_say() {
    let arguments = ["--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--format", "openai"];
    let more = ["--model", "x", "--tokens", "1", "--fault", r#"{"kind":"answer","status":500,"times":1}"#];
    let mut command = Command::new(env!("CARGO_BIN_EXE_simulated-backend"));
    let child = command.args(arguments).args(more).stdout(Stdio::piped()).spawn().unwrap();
    let mut running = Running(child);
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut address = || {
        let line = lines.next().unwrap().unwrap();
        line.split_once("listening on http://").unwrap().1.parse::<SocketAddr>().unwrap()
    };
    let (main, control) = (address(), address());
    let body = json!({ "model": "x", "prompt": "hi" });
    assert_eq!(client::post_json(main, "/v1/completions", &body).await.status(), 500);
    let answer = client::post_json(main, "/v1/completions", &body).await.collect().await.json();
    assert_eq!(answer["choices"][0]["text"], " the");
    let stats = client::get(control, "/__sim/stats").await.collect().await.json();
    assert_eq!(stats["requests"], 2);
}
