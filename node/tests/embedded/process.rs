//! What belongs to the program around a node is left alone.

use std::fs;

use rustix::process::{Resource, getrlimit};

use crate::{alone, engine, settings, shut_down, start, until_carried};

/// The signals that this process catches, as the kernel shows them.
fn caught_signals() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find(|line| line.starts_with("SigCgt")).unwrap().to_owned()
}

#[tokio::test]
async fn no_signal_is_caught_no_limit_raised_no_subscriber_set_and_no_log_written() {
    let _alone = alone().await;
    let (backend, directory) = (engine(), tempfile::tempdir().unwrap());
    let limit = || getrlimit(Resource::Nofile).current;
    let before = (caught_signals(), limit());
    let node = start(settings(&backend, directory.path())).await.unwrap();
    until_carried(&node).await;
    assert_eq!((caught_signals(), limit()), before);
    shut_down(node).await;
    assert!(!std::path::Path::new("logs").exists(), "the settings' own log directory is not made");
}
