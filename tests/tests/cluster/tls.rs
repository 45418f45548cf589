//! Mutual TLS between nodes: calls are encrypted, and both sides prove themselves by a certificate.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::Cluster;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::create;

/// An authority, and the files of one node that it vouches for.
struct Certificates {
    directory: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        // One for all nodes: they have the address in common.
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        write("ca.pem", authority);
        write("node.pem", certificate.pem());
        write("node.key", key.serialize_pem());
        Self { directory }
    }

    fn settings(&self) -> Value {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        json!({ "Cluster": { "Tls": {
            "CertificateFile": path("node.pem"), "KeyFile": path("node.key"), "CaFile": path("ca.pem")
        } } })
    }
}

#[tokio::test]
async fn nodes_with_certificates_form_a_cluster_whose_listeners_speak_tls_only() {
    let certificates = Certificates::new();
    let cluster = Cluster::builder().settings(&certificates.settings()).start().await;
    for node in 0..3 {
        create(&cluster, node, &format!("b{node}")).await;
        let plain = Request::get("/").try_send(cluster.cluster_listener(node)).await;
        assert!(plain.is_err(), "an answer in clear: {plain:?}");
    }
    cluster.agree().await;
}

#[tokio::test]
async fn a_node_of_another_authority_gets_no_place_though_it_knows_the_secret() {
    let certificates = Certificates::new();
    let mut cluster = Cluster::builder().nodes(1).settings(&certificates.settings()).start().await;
    let others = Certificates::new();
    let through = cluster.advertised(0);
    let stranger =
        cluster.start_other(|node| node.settings(&others.settings()).arg("--join").arg(&through)).await;
    let status = cluster
        .wait_status(stranger, "it tells what it waits for", |status| status.get("Problem").is_string())
        .await;
    assert_eq!(status.role(), "Forming");
    create(&cluster, 0, "b").await;
    assert_eq!(cluster.status(0).await.unwrap().member_ids().len(), 1);
}
