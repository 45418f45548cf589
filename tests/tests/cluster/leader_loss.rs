//! Leaders that die, are stopped, are cut off or are told to hand over.

use std::time::{Duration, Instant};

use ollamaflow_tests::client::Request;
use ollamaflow_tests::cluster::{Cluster, Consistency, Partition, Write};
use serde_json::json;

use super::{backends, create, creation};

/// The nodes but this one.
fn others(node: usize) -> Vec<usize> {
    (0..3).filter(|other| *other != node).collect()
}

#[tokio::test]
async fn a_new_leader_has_every_write_that_the_dead_one_acknowledged() {
    let mut cluster = Cluster::of_three().await;
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let leader = cluster.leader().await;
        for number in 0..10 {
            let id = format!("b{round}-{number}");
            create(&cluster, if number % 2 == 0 { leader } else { others(leader)[0] }, &id).await;
            acknowledged.push(id);
        }
        cluster.kill(leader);
        let survivors = others(leader);
        let next = cluster.leader_among(&survivors).await;
        let listed = backends(&mut cluster.admin(next), Consistency::Linearizable).await.unwrap();
        assert!(acknowledged.iter().all(|id| listed.contains(id)), "{listed:?}");
        // Writes go on with two of three, through the follower as well.
        for node in survivors {
            let id = format!("after-{round}-{node}");
            create(&cluster, node, &id).await;
            acknowledged.push(id);
        }
        cluster.start(leader).await;
    }
    cluster.formed(3).await;
}

/// A write that is sent while there is no leader waits for the next one rather than fail.
#[tokio::test]
async fn a_write_during_an_election_waits_for_its_end() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let follower = others(leader)[0];
    cluster.kill(leader);
    let write = cluster.admin(follower).write(creation("b")).await;
    // A loaded machine may take longer for an election than a write waits. Then nothing was done, and it says so.
    match write {
        Write::Done(_) => {}
        Write::NotDone(reason) => println!("not done: {reason}"),
        Write::Unknown(reason) => println!("unknown: {reason}"),
        Write::Refused(answer) => panic!("{}: {}", answer.status(), answer.text()),
    }
    cluster.start(leader).await;
    cluster.formed(3).await;
}

#[tokio::test]
async fn a_leader_that_is_stopped_hands_over_first() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let term = cluster.status(leader).await.unwrap().term();
    let survivors = others(leader);
    create(&cluster, leader, "before").await;
    let stopping = Instant::now();
    let exit = cluster.terminate(leader).await;
    assert!(exit.success(), "{exit}");
    // It left when another one led already: nobody had to wait for its silence, and there was one election.
    let next = cluster.leader_among(&survivors).await;
    create(&cluster, next, "after").await;
    let status = cluster.status(next).await.unwrap();
    println!("stopped and written again after {:?}, term {} -> {}", stopping.elapsed(), term, status.term());
    let logs = cluster.node(leader).logs();
    assert!(logs.contains("handed the leadership over"), "{logs}");
    cluster.start(leader).await;
    cluster.formed(3).await;
}

/// Clients that write all the time do not notice more than a moment of the stop of a leader: none of them is told
/// that nothing was done.
#[tokio::test]
async fn writes_go_on_while_a_leader_is_stopped() {
    let mut cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let survivor = others(leader)[1];
    let mut admin = cluster.admin(survivor);
    let writing = tokio::spawn(async move {
        let mut outcomes = Vec::new();
        for number in 0..60 {
            outcomes.push(admin.write(creation(&format!("b{number}"))).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        outcomes
    });
    tokio::time::sleep(Duration::from_millis(150)).await;
    cluster.terminate(leader).await;
    let outcomes = writing.await.unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !matches!(outcome, Write::Done(_))).collect();
    assert!(failed.is_empty(), "{failed:?}");
    cluster.start(leader).await;
    cluster.formed(3).await;
}

#[tokio::test]
async fn leadership_goes_where_it_is_sent() {
    let cluster = Cluster::of_three().await;
    for target in [0, 1, 2, 0] {
        let id = cluster.id(target).await;
        let request = Request::post("/v1.0/cluster/transfer-leader").json(&json!({ "NodeId": id }));
        // Any node takes the request.
        let answer = cluster.admin((target + 1) % 3).write(request).await.done();
        assert_eq!(answer.json()["Leader"], id);
        assert_eq!(cluster.leader().await, target);
        create(&cluster, target, &format!("b{}", cluster.agree().await.revision)).await;
    }
    cluster.agree().await;
}

#[tokio::test]
async fn among_five_the_leadership_goes_where_it_is_sent_too() {
    let cluster = Cluster::builder().nodes(5).start().await;
    for target in [3, 1, 4] {
        let id = cluster.id(target).await;
        let request = Request::post("/v1.0/cluster/transfer-leader").json(&json!({ "NodeId": id }));
        let answer = cluster.admin((target + 1) % 5).write(request).await.done();
        assert_eq!(answer.json()["Leader"], id);
        assert_eq!(cluster.leader().await, target);
    }
    cluster.agree().await;
}

#[tokio::test]
async fn a_leader_that_was_cut_off_follows_the_new_one() {
    for partition in [Partition::Silent, Partition::Refused] {
        let cluster = Cluster::of_three().await;
        let old = cluster.leader().await;
        cluster.isolate(old, partition);
        let survivors = others(old);
        let new = cluster.leader_among(&survivors).await;
        create(&cluster, new, "by-the-new-leader").await;
        let alone = cluster.admin(old).write(creation("by-the-old-leader")).await;
        assert!(!matches!(alone, Write::Done(_)), "{alone:?}");
        cluster.heal();
        cluster.formed(3).await;
        super::wait_present(&cluster, old, "by-the-new-leader").await;
        if matches!(alone, Write::NotDone(_)) {
            let listed = backends(&mut cluster.admin(new), Consistency::Linearizable).await.unwrap();
            assert!(!listed.contains(&"by-the-old-leader".to_owned()), "said not to be made, but is there");
        }
    }
}

#[tokio::test]
async fn a_follower_that_was_cut_off_returns_without_harm() {
    let cluster = Cluster::of_three().await;
    let follower = cluster.followers().await[0];
    let connected = others(follower);
    cluster.isolate(follower, Partition::Silent);
    // It stands for election again and again, and its term rises.
    let term = cluster.status(connected[0]).await.unwrap().term();
    cluster.wait_status(follower, "stands for election", |status| status.term() > term + 1).await;
    create(&cluster, connected[0], "meanwhile").await;
    cluster.heal();
    super::wait_present(&cluster, follower, "meanwhile").await;
    cluster.formed(3).await;
    create(&cluster, follower, "after").await;
    cluster.agree().await;
}

/// Two nodes do not reach each other, but both reach the third one: there is one leader, and all nodes take writes.
#[tokio::test]
async fn a_broken_link_between_two_nodes_does_not_stop_the_cluster() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.leader().await;
    let followers = others(leader);
    cluster.part(followers[0], followers[1], Partition::Silent);
    for node in 0..3 {
        create(&cluster, node, &format!("b{node}")).await;
    }
    cluster.agree().await;
    cluster.heal();
    cluster.agree().await;
}
