//! What is on the disks: restarts, snapshots, purged logs, backups, and directories that belong to somebody else.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::{Cluster, Consistency};
use ollamaflow_tests::node::{ADMIN_TOKEN, binary_path};

use super::{assert_dense, backends, create, history, renaming, scale, wait_present};

/// Writes before the late joiner: more than a log is kept for, unless `OLLAMAFLOW_TEST_PURGE_WRITES` says otherwise.
const PURGE_WRITES: usize = 1500;

#[tokio::test]
async fn writes_survive_the_death_of_all_nodes_at_once() {
    let mut cluster = Cluster::of_three().await;
    for round in 0..4 {
        let before = cluster.agree().await.revision;
        let addresses = cluster.addresses();
        let writing = tokio::spawn(ollamaflow_tests::client::many(3, move |node| {
            let mut admin = addresses.admin(node);
            async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let id = format!("b{round}-{node}-{number}");
                    let write = admin.write(super::creation(&id)).await;
                    if write.revision().is_none() {
                        break;
                    }
                    acknowledged.push(id);
                }
                acknowledged
            }
        }));
        ollamaflow_tests::wait::until_answered("some writes are made", async || {
            let revision = cluster.status(0).await?.revision();
            if revision > before + 20 { Ok(()) } else { Err(format!("revision {revision}")) }
        })
        .await;
        for node in 0..3 {
            cluster.kill(node);
        }
        let acknowledged = writing.await.unwrap().concat();
        assert!(!acknowledged.is_empty());
        cluster.start_together(&[0, 1, 2]).await;
        cluster.formed(3).await;
        for node in 0..3 {
            let listed = backends(&mut cluster.admin(node), Consistency::Local).await.unwrap();
            let lost: Vec<_> = acknowledged.iter().filter(|id| !listed.contains(id)).collect();
            assert!(lost.is_empty(), "node {node} has lost {lost:?}");
        }
        assert_dense(&history(&mut cluster.admin(0)).await);
    }
    cluster.agree().await;
}

#[tokio::test]
async fn membership_survives_restarts() {
    let mut cluster = Cluster::builder().nodes(1).start().await;
    cluster.join_through(0).await;
    cluster.formed(2).await;
    let ids = [cluster.id(0).await, cluster.id(1).await];
    for _ in 0..2 {
        cluster.kill(0);
        cluster.kill(1);
        cluster.start_together(&[0, 1]).await;
        cluster.formed(2).await;
        assert_eq!([cluster.id(0).await, cluster.id(1).await], ids);
    }
    create(&cluster, 1, "b").await;
    cluster.agree().await;
}

#[tokio::test]
async fn a_late_joiner_catches_up_from_a_snapshot() {
    let mut cluster = Cluster::of_three().await;
    let away = cluster.followers().await[0];
    create(&cluster, 0, "b").await;
    cluster.agree().await;
    cluster.kill(away);
    let leader = cluster.leader().await;
    let addresses = cluster.addresses();
    let writers = 8;
    let each = scale("OLLAMAFLOW_TEST_PURGE_WRITES", PURGE_WRITES) / writers;
    for writer in 0..writers {
        create(&cluster, leader, &format!("b{writer}")).await;
    }
    ollamaflow_tests::client::many(writers, |writer| {
        let mut admin = addresses.admin(leader);
        async move {
            for number in 0..each {
                let rename = renaming(&format!("b{writer}"), &format!("name {number}"));
                // What counts is that the log gets long. On a busy disk a write may be unconfirmed in its time, and the
                // same name may be given twice.
                admin.write_repeated(&rename).await.done();
            }
        }
    })
    .await;
    for node in cluster.running() {
        cluster.admin(node).write(Request::post("/v1.0/cluster/snapshot")).await.done();
        let status =
            cluster.wait_status(node, "has a snapshot", |s| s.get("SnapshotIndex").as_u64() > Some(0)).await;
        println!("node {node}: {status:?}");
    }
    let late = cluster.join_through(leader).await;
    cluster.start(away).await;
    cluster.formed(4).await;
    for node in [late, away] {
        let mut listed = backends(&mut cluster.admin(node), Consistency::Local).await.unwrap();
        listed.sort_unstable();
        assert_eq!(listed, ["b", "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"]);
        assert_eq!(history(&mut cluster.admin(node)).await, history(&mut cluster.admin(leader)).await);
    }
}

#[tokio::test]
async fn a_backup_is_restored_on_the_same_cluster_and_on_another_one() {
    let cluster = Cluster::of_three().await;
    create(&cluster, 0, "kept").await;
    let file = cluster.node(0).directory().join("backup.json");
    let file = file.to_str().unwrap();
    cli(&cluster, 1, &["cluster", "backup", file]);
    create(&cluster, 2, "later").await;
    cluster.agree().await;
    cli(&cluster, 2, &["cluster", "restore", file]);
    let listed = backends(&mut cluster.admin(0), Consistency::Linearizable).await.unwrap();
    assert_eq!(listed, ["kept"]);
    cluster.agree().await;

    let other = Cluster::builder().nodes(1).start().await;
    let before = other.agree().await;
    cli(&other, 0, &["cluster", "restore", file]);
    let listed = backends(&mut other.admin(0), Consistency::Linearizable).await.unwrap();
    assert_eq!(listed, ["kept"]);
    assert_eq!(other.agree().await.cluster_id, before.cluster_id);
}

/// The command line tells the same as the admin API.
#[tokio::test]
async fn the_command_line_shows_the_cluster() {
    let cluster = Cluster::of_three().await;
    let agreement = cluster.agree().await;
    for node in 0..3 {
        let status = cli(&cluster, node, &["cluster", "status"]);
        assert!(status.contains(&agreement.cluster_id), "{status}");
        assert!(status.contains(&agreement.hash), "{status}");
        let members = cli(&cluster, node, &["cluster", "members"]);
        assert!((0..3).all(|member| members.contains(&cluster.advertised(member))), "{members}");
    }
    cluster.agree().await;
}

/// What a command prints, asked of a node. Panics when it fails.
fn cli(cluster: &Cluster, node: usize, arguments: &[&str]) -> String {
    let output = std::process::Command::new(binary_path())
        .current_dir(cluster.node(node).directory())
        .args(arguments)
        .args(["--server", &cluster.node(node).url(), "--token", ADMIN_TOKEN])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {printed}{errors}");
    printed
}

#[tokio::test]
async fn a_directory_is_one_nodes_at_a_time() {
    let mut cluster = Cluster::builder().nodes(1).start().await;
    create(&cluster, 0, "b").await;
    let data = cluster.data_directory(0);
    let taken = data.to_str().unwrap().to_owned();
    let failure =
        ollamaflow_tests::node::Node::builder().arg("--data-directory").arg(&taken).try_start().await;
    let failure = failure.err().unwrap();
    assert!(failure.contains(&taken), "the sentence names the directory: {failure}");
    cluster.kill(0);
    cluster.start(0).await;
    wait_present(&cluster, 0, "b").await;
    cluster.agree().await;
}
