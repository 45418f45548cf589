//! A cluster of one.

use super::*;

async fn alone(directory: &Path) -> Cluster {
    Cluster::start(settings(directory, None, Start::Alone)).await.unwrap()
}

#[actix_web::test]
async fn a_node_alone_is_a_cluster_of_one_with_its_first_objects() {
    let directory = TempDir::new().unwrap();
    let cluster = alone(directory.path()).await;
    assert!(cluster.state().catalog().backends.contains_key("seeded"));
    assert_eq!(cluster.unfit(), None);
    let committed = cluster.propose("test", put("b1")).await.unwrap();
    assert_eq!(committed.applied.revision, 2);
    assert!(cluster.state().catalog().backends.contains_key("b1"));
    assert_eq!(cluster.linearizable().await.unwrap().revision(), 2);
    let status = cluster.status();
    assert_eq!((status.role, status.node_id, status.has_quorum), (Role::Leader, Some(1), true));
    cluster.stop().await;
}

#[actix_web::test]
async fn a_restart_finds_everything_and_seeds_nothing() {
    let directory = TempDir::new().unwrap();
    let cluster = alone(directory.path()).await;
    cluster.propose("test", put("b1")).await.unwrap();
    let delete =
        Command::DeleteBackend { id: "seeded".parse().unwrap(), expect: Precondition::Any, force: false };
    cluster.propose("test", delete).await.unwrap();
    let before = cluster.status();
    cluster.stop().await;
    drop(cluster);
    let cluster = alone(directory.path()).await;
    // At once, before there is a leader.
    let after = cluster.status();
    assert_eq!((after.revision, &after.catalog_hash), (before.revision, &before.catalog_hash));
    assert!(!cluster.state().catalog().backends.contains_key("seeded"));
    cluster.propose("test", put("b2")).await.unwrap();
    cluster.stop().await;
}

#[actix_web::test]
async fn a_snapshot_can_be_asked_for() {
    let directory = TempDir::new().unwrap();
    let cluster = alone(directory.path()).await;
    cluster.propose("test", put("b1")).await.unwrap();
    let index = cluster.snapshot().await.unwrap();
    assert!(index > 0 && cluster.status().snapshot_index >= index);
    cluster.stop().await;
}

#[actix_web::test]
async fn the_only_voter_cannot_be_removed_and_has_no_successor() {
    let directory = TempDir::new().unwrap();
    let cluster = alone(directory.path()).await;
    assert!(matches!(cluster.remove(1).await, Err(ClusterError::Membership(_))));
    assert!(matches!(cluster.transfer_leader(None).await, Err(ClusterError::Membership(_))));
    cluster.stop().await;
}

#[actix_web::test]
async fn large_changes_do_not_make_the_log_long() {
    let directory = TempDir::new().unwrap();
    let cluster = alone(directory.path()).await;
    for round in 0..8 {
        let name = |number: usize| format!("b{number}-{round}");
        let mut backends: Vec<Backend> = (0..45).map(|number| backend(&name(number))).collect();
        for backend in &mut backends {
            backend.name = "x".repeat(50_000);
        }
        let replace = Command::ReplaceCatalog {
            frontends: Vec::new(),
            backends,
            keys: None,
            expect: Precondition::Any,
        };
        cluster.propose("test", replace).await.unwrap();
    }
    let consensus = cluster.0.node.consensus().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while consensus.state.current().bytes_since_snapshot > 12 * 1024 * 1024 {
        assert!(Instant::now() < deadline, "no snapshot was made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(cluster.status().snapshot_index > 0);
    cluster.stop().await;
}
