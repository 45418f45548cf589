//! Nodes that come, go, are replaced, or were somebody else.

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::{Cluster, Partition, Write, message};
use serde_json::json;

use super::{create, wait_present};

fn addition(address: &str) -> Request {
    Request::post("/v1.0/cluster/members").json(&json!({ "Address": address }))
}

fn removal(id: u64) -> Request {
    Request::new("DELETE", &format!("/v1.0/cluster/members/{id}"))
}

/// Waits until every member votes, as a node sees it: no change is half done.
pub async fn wait_plain(cluster: &Cluster, node: usize) {
    let is_plain = |status: &ollamaflow_tests::cluster::Status| status.voters() == status.member_ids();
    cluster.wait_status(node, "has a plain membership", is_plain).await;
}

/// Removes a member through a node; the leader may be about to change.
async fn remove(cluster: &Cluster, through: usize, id: u64) {
    ollamaflow_tests::wait::until_answered("a member is removed", async || {
        match cluster.admin(through).write(removal(id)).await {
            Write::Done(_) => Ok(()),
            // An attempt before, whose answer was lost, may have done it.
            Write::Refused(answer) if answer.status() == 404 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn a_wiped_node_comes_back_as_a_new_one_and_its_old_id_has_no_vote() {
    let mut cluster = Cluster::of_three().await;
    create(&cluster, 0, "b").await;
    for wiped in [cluster.followers().await[0], cluster.leader().await] {
        let old = cluster.id(wiped).await;
        let before = cluster.agree().await;
        cluster.wipe(wiped);
        cluster.start(wiped).await;
        cluster.formed(3).await;
        let status = cluster.status(wiped).await.unwrap();
        assert_ne!(status.node_id(), Some(old));
        assert!(!status.member_ids().contains(&old), "{status:?}");
        assert_eq!(cluster.agree().await.cluster_id, before.cluster_id);
        wait_present(&cluster, wiped, "b").await;
    }
    let processes = (0..3).map(|node| cluster.node(node).logs());
    for (node, log) in processes.enumerate() {
        assert!(!log.contains("panicked"), "node {node}:\n{log}");
    }
}

#[tokio::test]
async fn a_dead_node_is_replaced_by_a_new_one_elsewhere() {
    let mut cluster = Cluster::of_three().await;
    create(&cluster, 0, "b").await;
    let dead = cluster.leader().await;
    let id = cluster.id(dead).await;
    cluster.kill(dead);
    let left = cluster.leader().await;
    remove(&cluster, left, id).await;
    let new = cluster.join_through(left).await;
    cluster.formed(3).await;
    wait_present(&cluster, new, "b").await;
    // All three count: any one of them may die now.
    let victim = cluster.leader().await;
    cluster.kill(victim);
    let survivors = cluster.running();
    cluster.leader().await;
    create(&cluster, survivors[0], "after").await;
    cluster.agree().await;
}

#[tokio::test]
async fn a_removed_node_says_so_and_is_no_candidate() {
    let mut cluster = Cluster::of_three().await;
    let removed = cluster.followers().await[0];
    let left: Vec<_> = (0..3).filter(|node| *node != removed).collect();
    let id = cluster.id(removed).await;
    remove(&cluster, left[0], id).await;
    let status = cluster.wait_status(removed, "knows that it was removed", |s| s.role() == "Removed").await;
    let problem = status.get("Problem").as_str().unwrap_or_default();
    assert!(problem.contains("was removed"), "{problem}");
    let answer = cluster.admin(removed).send(Request::get("/readyz")).await.unwrap();
    assert_eq!(answer.status(), 503, "{}", answer.text());
    let answer = cluster.admin(removed).send(super::creation("never")).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(message(&answer).contains("was removed"), "{}", answer.text());

    // The others go on in the same term, while it runs and after it has come back.
    cluster.agree_among(&left).await;
    let term = cluster.status(left[0]).await.unwrap().term();
    cluster.kill(removed);
    cluster.start(removed).await;
    cluster.wait_status(removed, "still knows it", |status| status.role() == "Removed").await;
    for number in 0..20 {
        create(&cluster, left[number % 2], &format!("b{number}")).await;
    }
    for &node in &left {
        let status = cluster.status(node).await.unwrap();
        assert!(!status.member_ids().contains(&id), "{status:?}");
        assert_eq!(status.term(), term, "the removed node has disturbed the others");
    }
    cluster.agree_among(&left).await;
}

#[tokio::test]
async fn a_removed_leader_hands_over_and_goes() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let id = cluster.id(leader).await;
    let left: Vec<_> = (0..3).filter(|node| *node != leader).collect();
    remove(&cluster, leader, id).await;
    cluster.wait_status(leader, "knows that it was removed", |status| status.role() == "Removed").await;
    let next = cluster.leader_among(&left).await;
    create(&cluster, next, "b").await;
    let status = cluster.status(next).await.unwrap();
    assert_eq!(status.voters().len(), 2, "{status:?}");
    cluster.agree_among(&left).await;
}

#[tokio::test]
async fn ids_are_never_used_again() {
    let mut cluster = Cluster::builder().nodes(1).start().await;
    let mut ids = vec![cluster.id(0).await];
    for _ in 0..3 {
        let node = cluster.join_through(0).await;
        cluster.formed(2).await;
        let id = cluster.id(node).await;
        assert!(!ids.contains(&id), "{id} after {ids:?}");
        ids.push(id);
        remove(&cluster, 0, id).await;
        cluster.kill(node);
        cluster.wait_status(0, "is alone again", |status| status.member_ids().len() == 1).await;
    }
    create(&cluster, 0, "b").await;
    cluster.agree().await;
}

/// A node that was removed while it was away must not disturb the others when it is back, nor vote.
#[tokio::test]
async fn a_node_that_was_removed_while_it_was_away_learns_it_when_it_is_back() {
    let mut cluster = Cluster::of_three().await;
    let away = cluster.followers().await[0];
    let left: Vec<_> = (0..3).filter(|node| *node != away).collect();
    let id = cluster.id(away).await;
    cluster.kill(away);
    remove(&cluster, left[0], id).await;
    cluster.agree_among(&left).await;
    let term = cluster.status(left[0]).await.unwrap().term();
    cluster.start(away).await;
    cluster.wait_status(away, "knows that it was removed", |status| status.role() == "Removed").await;
    create(&cluster, left[1], "b").await;
    assert_eq!(cluster.status(left[0]).await.unwrap().term(), term);
    cluster.agree_among(&left).await;
}

#[tokio::test]
async fn a_leader_that_was_removed_while_it_was_away_learns_it_when_it_is_back() {
    let mut cluster = Cluster::of_three().await;
    let gone = cluster.leader().await;
    let id = cluster.id(gone).await;
    cluster.kill(gone);
    let rest: Vec<_> = (0..3).filter(|node| *node != gone).collect();
    let leader = cluster.leader_among(&rest).await;
    remove(&cluster, leader, id).await;
    // It comes back as the leader that it was, until it hears of another one.
    cluster.start(gone).await;
    cluster.wait_status(gone, "it knows that it was removed", |status| status.role() == "Removed").await;
    cluster.agree_among(&rest).await;
}

#[tokio::test]
async fn a_removal_that_would_stop_all_writes_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let followers = cluster.followers().await;
    let (dead, alive) = (followers[0], followers[1]);
    let (dead_id, alive_id) = (cluster.id(dead).await, cluster.id(alive).await);
    cluster.kill(dead);
    // Of the two that would be left one does not answer, and both would be needed.
    let Write::Refused(answer) = cluster.admin(leader).write(removal(alive_id)).await else {
        panic!("it was not refused")
    };
    assert_eq!(answer.status(), 409, "{}", answer.text());
    assert!(answer.text().contains(&format!("node {dead_id}")), "{}", answer.text());
    create(&cluster, leader, "b").await;
    remove(&cluster, leader, dead_id).await;
    create(&cluster, alive, "c").await;
    cluster.agree_among(&[leader, alive]).await;
}

#[tokio::test]
async fn adding_a_node_that_is_not_there_ends_and_leaves_nothing() {
    let cluster = Cluster::of_three().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let answer = cluster.admin(0).send(addition(&nobody.to_string())).await.unwrap();
    assert!(answer.status() >= 400, "{}", answer.text());
    assert!(!message(&answer).is_empty());
    let status = cluster.status(cluster.leader().await).await.unwrap();
    assert_eq!((status.voters().len(), status.member_ids().len()), (3, 3), "{status:?}");
    create(&cluster, 1, "b").await;
    cluster.agree().await;
}

#[tokio::test]
async fn a_node_that_waits_is_invited() {
    let mut cluster = Cluster::of_three().await;
    create(&cluster, 0, "b").await;
    let fresh = cluster.start_other(|builder| builder.arg("--join").arg("invite")).await;
    cluster.wait_status(fresh, "waits", |status| status.role() == "Forming").await;
    let answer = cluster.admin(1).write(addition(&cluster.advertised(fresh))).await.done();
    cluster.formed(4).await;
    assert_eq!(answer.json()["NodeId"], cluster.id(fresh).await);
    wait_present(&cluster, fresh, "b").await;
}

#[tokio::test]
async fn changes_at_the_same_time_leave_a_plain_membership() {
    let mut cluster = Cluster::of_three().await;
    let ids = [cluster.id(1).await, cluster.id(2).await];
    let through = cluster.advertised(0);
    let fresh = cluster.start_other(|builder| builder.arg("--join").arg("invite")).await;
    let address = cluster.advertised(fresh);
    let addresses = cluster.addresses();
    let changes = ollamaflow_tests::client::many(4, |number| {
        let mut admin = addresses.admin(0);
        let address = address.clone();
        async move {
            match number % 2 {
                0 => admin.write(removal(ids[0])).await,
                _ => admin.write(addition(&address)).await,
            }
        }
    })
    .await;
    println!("{changes:?}, through {through}");
    assert!(changes.iter().any(|change| matches!(change, Write::Done(_))));
    wait_plain(&cluster, 0).await;
    // Either change may have got in the other's way, and whoever is a member may lead.
    let members = cluster.status(0).await.unwrap().member_ids();
    let newcomer = cluster.status(fresh).await.ok().and_then(|status| status.node_id());
    let stays = [(1, Some(ids[0])), (fresh, newcomer)];
    let stays = stays.into_iter().filter(|(_, id)| id.is_some_and(|id| members.contains(&id)));
    let there: Vec<usize> = [0, 2].into_iter().chain(stays.map(|(index, _)| index)).collect();
    cluster.leader_among(&there).await;
    create(&cluster, 0, "b").await;
    cluster.agree_among(&[0, 2]).await;
}

/// A cluster of three with one node away and one newcomer goes on: the newcomer asks until it is let in.
#[tokio::test]
async fn a_newcomer_waits_for_its_cluster() {
    let mut cluster = Cluster::builder().nodes(1).start().await;
    cluster.kill(0);
    let fresh = cluster.join_through(0).await;
    cluster.wait_status(fresh, "waits", |status| status.role() == "Forming").await;
    let answer = cluster.admin(fresh).send(Request::get("/readyz")).await.unwrap();
    assert_eq!(answer.status(), 503, "{}", answer.text());
    let write = cluster.admin(fresh).write(super::creation("never")).await;
    assert!(matches!(write, Write::NotDone(_)), "{write:?}");
    cluster.start(0).await;
    cluster.formed(2).await;
}

/// A newcomer that can reach one member only, and not the leader, gets its place when the network is whole.
#[tokio::test]
async fn a_newcomer_behind_a_broken_link_gets_its_place_later() {
    let mut cluster = Cluster::of_three().await;
    create(&cluster, 0, "b").await;
    let leader = cluster.leader().await;
    let through = cluster.followers().await[0];
    // The newcomer will be node 3.
    cluster.part(leader, 3, Partition::Refused);
    let fresh = cluster.join_through(through).await;
    assert_eq!(fresh, 3);
    create(&cluster, leader, "meanwhile").await;
    cluster.heal();
    cluster.formed(4).await;
    wait_present(&cluster, fresh, "meanwhile").await;
}
