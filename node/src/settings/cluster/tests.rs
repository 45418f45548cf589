//! Each rule of the section, and what follows from it.

use std::time::Duration;

use super::*;
use crate::settings::{ListenHost, ListenTarget};

const SECRET: &str = "sixteen letters!";

#[expect(clippy::unnecessary_wraps, reason = "settings are optional texts")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Nothing set but a secret.
fn trusted() -> ClusterSettings {
    ClusterSettings { secret: Some(Secret::new(SECRET)), ..ClusterSettings::default() }
}

fn peers(names: &[&str]) -> ClusterSettings {
    let peers: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    ClusterSettings { advertise: peers.first().cloned(), peers, ..trusted() }
}

fn joining(member: &str) -> ClusterSettings {
    ClusterSettings { join: text(member), advertise: text("node4"), ..trusted() }
}

fn problems(settings: &ClusterSettings) -> Vec<String> {
    settings.plan().unwrap_err().iter().map(ToString::to_string).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "plans have an optional target")]
fn every_address() -> Option<ListenTarget> {
    Some(ListenTarget { host: ListenHost::All, port: DEFAULT_CLUSTER_PORT })
}

// === plans ===

#[test]
fn without_settings_a_node_is_a_cluster_of_one_without_a_listener() {
    let plan = ClusterSettings::default().plan().unwrap();
    assert_eq!(plan, ClusterPlan::default());
    assert_eq!((plan.listen, plan.start, plan.secret), (None, ClusterStart::Alone, None));
    assert_eq!(plan.timing.heartbeat, Duration::from_millis(100));
    assert_eq!(plan.timing.election_min, Duration::from_millis(350));
    assert_eq!(plan.timing.election_max, Duration::from_millis(700));
    // Empty values are what unset variables of a container become.
    let (listen, secret) = (text(" "), Some(Secret::new("")));
    let empty = ClusterSettings { listen, secret, join: text(""), ..ClusterSettings::default() };
    assert_eq!(empty.plan().unwrap(), ClusterPlan::default());
}

#[test]
fn peers_listen_on_every_address_and_are_sorted_and_completed() {
    let plan = peers(&["Node2", "node1:5", "[::1]"]).plan().unwrap();
    assert_eq!(plan.listen, every_address());
    assert_eq!(plan.advertise.as_deref(), Some("node2:43412"));
    let sorted = ["[::1]:43412", "node1:5", "node2:43412"].map(str::to_owned).to_vec();
    assert_eq!(plan.start, ClusterStart::Peers(sorted));
    assert_eq!(plan.secret, Some(Secret::new(SECRET)));
}

#[test]
fn a_node_joins_a_member_or_waits_for_an_invitation() {
    let plan = joining("node1").plan().unwrap();
    assert_eq!(plan.start, ClusterStart::Join("node1:43412".to_owned()));
    assert_eq!((plan.listen, plan.advertise.as_deref()), (every_address(), Some("node4:43412")));
    assert_eq!(joining("Invite").plan().unwrap().start, ClusterStart::Invited);
}

#[test]
fn a_node_with_a_listener_is_a_cluster_of_one_that_can_grow() {
    let plan = ClusterSettings { listen: text("Node1:7"), ..trusted() }.plan().unwrap();
    assert_eq!(plan.listen, Some(ListenTarget { host: ListenHost::Name("node1".to_owned()), port: 7 }));
    assert_eq!((plan.advertise.as_deref(), plan.start), (Some("node1:7"), ClusterStart::Alone));
    let six = ClusterSettings { listen: text("[::1]:7"), ..trusted() }.plan().unwrap();
    assert_eq!(six.listen, Some(ListenTarget { host: ListenHost::Name("::1".to_owned()), port: 7 }));
    assert_eq!(six.advertise.as_deref(), Some("[::1]:7"));
}

#[test]
fn tls_takes_three_files() {
    let tls = ClusterTlsSettings { certificate_file: text("c"), key_file: text("k"), ca_file: text("a") };
    let plan = ClusterSettings { tls: tls.clone(), ..joining("node1") }.plan().unwrap().tls.unwrap();
    assert_eq!(plan.certificate_file.to_str(), Some("c"));
    assert_eq!((plan.key_file.to_str(), plan.ca_file.to_str()), (Some("k"), Some("a")));
    let two = ClusterTlsSettings { key_file: None, ..tls.clone() };
    let errors = problems(&ClusterSettings { tls: two, ..joining("node1") });
    assert_eq!(
        errors,
        ["Cluster.Tls.KeyFile must be set too: TLS between nodes takes CertificateFile, KeyFile and CaFile"]
    );
    let errors = problems(&ClusterSettings { tls, ..ClusterSettings::default() });
    assert!(errors[0].starts_with("Cluster.Tls.CertificateFile must not be set alone"), "{errors:?}");
}

// === rules ===

#[test]
fn whoever_listens_needs_a_secret() {
    for settings in [peers(&["a", "b"]), joining("a"), ClusterSettings { listen: text("a"), ..trusted() }] {
        let errors = problems(&ClusterSettings { secret: None, ..settings });
        assert_eq!(errors, ["Cluster.Secret must be set (or SecretFile): nodes let in only who knows it"]);
    }
}

#[test]
fn a_secret_has_sixteen_characters_and_one_place() {
    let short = ClusterSettings { secret: Some(Secret::new("fifteen letters")), ..joining("a") };
    assert_eq!(problems(&short), ["Cluster.Secret must have at least 16 characters"]);
    let long = ClusterSettings { secret: Some(Secret::new("x".repeat(4097))), ..joining("a") };
    assert_eq!(problems(&long), ["Cluster.Secret must have at most 4096 bytes"]);
    let both = ClusterSettings { secret_file: text("/nonexistent"), ..joining("a") };
    assert_eq!(problems(&both), ["Cluster.SecretFile must not be set together with Secret"]);
}

#[test]
fn a_secret_is_read_from_its_file_without_the_line_break() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings =
        ClusterSettings { secret: None, secret_file: text(file.path().to_str().unwrap()), ..joining("a") };
    for ending in ["", "\n", "\r\n"] {
        std::fs::write(file.path(), format!("{SECRET}{ending}")).unwrap();
        assert_eq!(settings.plan().unwrap().secret, Some(Secret::new(SECRET)));
    }
    for (content, problem) in [
        ("fifteen letters\n".to_owned(), "Cluster.SecretFile must have at least 16 characters"),
        ("x".repeat(5000), "Cluster.SecretFile must have at most 4096 bytes"),
    ] {
        std::fs::write(file.path(), content).unwrap();
        assert_eq!(problems(&settings), [problem]);
    }
    let absent = ClusterSettings { secret_file: text("/nonexistent/secret"), ..settings };
    let errors = problems(&absent);
    let start = "Cluster.SecretFile must name a readable file, but \"/nonexistent/secret\" is not: ";
    assert!(errors[0].starts_with(start), "{errors:?}");
}

#[test]
fn peers_are_distinct_addresses_and_not_too_many() {
    let errors = problems(&peers(&["a", "A:43412", "*", "c/d"]));
    assert_eq!(errors[0], "Cluster.Peers[1] must not repeat a:43412");
    assert!(errors[1].starts_with("Cluster.Peers[2] must name one host"), "{errors:?}");
    assert!(errors[2].starts_with("Cluster.Peers[3] must have a host name or an IP address"), "{errors:?}");
    assert_eq!(errors.len(), 3, "the list is not compared with Advertise while it is faulty: {errors:?}");
    let names: Vec<String> = (0..65).map(|number| format!("node{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(peers(&names[..64]).plan().is_ok());
    assert_eq!(problems(&peers(&names)), ["Cluster.Peers must have at most 64 entries, but has 65"]);
}

#[test]
fn a_peer_says_which_of_them_it_is() {
    for listen in [None, text("a:43412")] {
        let errors = problems(&ClusterSettings { advertise: None, listen, ..peers(&["a", "b"]) });
        assert_eq!(errors, ["Cluster.Advertise must be set with Peers: which of them this node is"]);
    }
    let errors = problems(&ClusterSettings { advertise: text("a:1"), ..peers(&["a", "b"]) });
    assert_eq!(errors, ["Cluster.Advertise must be one of Peers, but a:1 is not"]);
}

#[test]
fn forming_and_joining_exclude_each_other() {
    let errors = problems(&ClusterSettings { join: text("c"), ..peers(&["a", "b"]) });
    assert_eq!(
        errors,
        ["Cluster.Join must not be set together with Peers: a node forms a cluster or joins one"]
    );
    let errors = problems(&joining("node4:43412"));
    assert_eq!(errors, ["Cluster.Join must name another node, but node4:43412 is this one"]);
    let errors = problems(&joining("http://node1"));
    assert!(errors[0].starts_with("Cluster.Join must have a"), "{errors:?}");
}

#[test]
fn a_listener_that_names_no_host_does_not_tell_the_address() {
    for listen in ["*:7", "0.0.0.0", "[::]:7", "node1:0"] {
        let errors = problems(&ClusterSettings { listen: text(listen), ..trusted() });
        assert!(errors[0].starts_with("Cluster.Advertise must be set"), "{listen}: {errors:?}");
        let told = ClusterSettings { listen: text(listen), advertise: text("a"), ..trusted() };
        assert_eq!(told.plan().unwrap().advertise.as_deref(), Some("a:43412"));
    }
    let errors = problems(&ClusterSettings { advertise: None, ..joining("a") });
    assert!(errors[0].starts_with("Cluster.Advertise must be set"), "{errors:?}");
}

#[test]
fn an_address_without_a_listener_is_a_mistake() {
    let errors = problems(&ClusterSettings { advertise: text("a"), ..ClusterSettings::default() });
    assert!(errors[0].starts_with("Cluster.Advertise must not be set alone"), "{errors:?}");
    let errors = problems(&ClusterSettings { listen: text("x:y:z"), ..joining("a") });
    assert!(errors[0].starts_with("Cluster.Listen must have a port"), "{errors:?}");
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn elections_leave_time_for_three_heartbeats_and_for_chance() {
    let timing = |heartbeat_ms, election_min_ms, election_max_ms| ClusterSettings {
        heartbeat_ms,
        election_min_ms,
        election_max_ms,
        ..ClusterSettings::default()
    };
    assert!(timing(100, 300, 301).plan().is_ok());
    let errors = problems(&timing(100, 299, 700));
    assert_eq!(
        errors,
        ["Cluster.ElectionMinMs must be at least 3 times HeartbeatMs, that is 300, but is 299"]
    );
    let errors = problems(&timing(100, 400, 400));
    assert_eq!(errors, ["Cluster.ElectionMaxMs must be more than ElectionMinMs, that is 400, but is 400"]);
}
