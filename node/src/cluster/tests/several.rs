//! Three members.

use super::*;

#[actix_web::test]
async fn peers_form_one_cluster_and_each_takes_writes() {
    let members = Member::three().await;
    let ids: Vec<_> = members.iter().map(|member| member.cluster.status().cluster_id).collect();
    assert!(ids[0].is_some() && ids.iter().all(|id| *id == ids[0]));
    for (number, member) in members.iter().enumerate() {
        let name = format!("b{number}");
        member.cluster.propose("test", put(&name)).await.unwrap();
        assert!(member.has(&name), "the node that answers has applied it");
        for other in &members {
            assert!(
                other.cluster.linearizable().await.unwrap().catalog().backends.contains_key(name.as_str())
            );
        }
    }
    let revision = members[0].cluster.status().revision;
    for member in &members {
        member.waits_until("the same revision", |status| status.revision == revision).await;
        assert_eq!(member.cluster.status().catalog_hash, members[0].cluster.status().catalog_hash);
    }
}

#[actix_web::test]
async fn the_leadership_is_handed_over() {
    let members = Member::three().await;
    let leader = members.iter().find(|member| member.is_leader()).unwrap();
    let successor = leader.cluster.transfer_leader(None).await.unwrap();
    assert_ne!(Some(successor), leader.cluster.node_id());
    for member in &members {
        member.cluster.propose("test", put("after")).await.unwrap();
    }
    // By way of a follower, to a chosen node.
    let first = members.iter().find(|member| !member.is_leader()).unwrap();
    let wanted = first.cluster.node_id();
    assert_eq!(first.cluster.transfer_leader(wanted).await.ok(), wanted);
    first.waits_until("it leads", |status| status.role == Role::Leader).await;
}

#[actix_web::test]
async fn a_removed_member_says_so_and_the_others_go_on() {
    let members = Member::three().await;
    let gone = members.iter().find(|member| !member.is_leader()).unwrap();
    let id = gone.cluster.node_id().unwrap();
    let other = members.iter().find(|member| member.is_leader()).unwrap();
    // Through itself: a follower that has the leader remove it.
    gone.cluster.remove(id).await.unwrap();
    other.waits_until("two voters", |status| voters(status) == 2 && status.members.len() == 2).await;
    gone.waits_until("it knows", |status| status.role == Role::Removed).await;
    assert!(matches!(gone.cluster.propose("test", put("x")).await, Err(ClusterError::Removed { .. })));
    other.cluster.propose("test", put("y")).await.unwrap();
}

#[actix_web::test]
async fn the_leader_can_be_removed() {
    let members = Member::three().await;
    let gone = members.iter().find(|member| member.is_leader()).unwrap();
    let id = gone.cluster.node_id().unwrap();
    let other = members.iter().find(|member| !member.is_leader()).unwrap();
    other.cluster.remove(id).await.unwrap();
    other.waits_until("two members", |status| status.members.len() == 2).await;
    gone.waits_until("it knows", |status| status.role == Role::Removed).await;
    other.cluster.propose("test", put("y")).await.unwrap();
}

#[actix_web::test]
async fn nodes_join_a_cluster_of_one_and_get_their_vote() {
    let first = Member::start(listener(), Start::Alone).await;
    first.cluster.propose("test", put("before")).await.unwrap();
    let joining = Member::start(listener(), Start::Join(first.address.clone())).await;
    joining.waits_until("two voters", |status| voters(status) == 2).await;
    assert!(joining.cluster.linearizable().await.unwrap().catalog().backends.contains_key("before"));
    let invited = Member::start(listener(), Start::Invited).await;
    assert!(matches!(invited.cluster.propose("test", put("x")).await, Err(ClusterError::Forming { .. })));
    let id = joining.cluster.add(&invited.address).await.unwrap();
    invited.waits_until("three voters", |status| voters(status) == 3).await;
    assert_eq!(invited.cluster.node_id(), Some(id));
    // A node that has a cluster cannot be added to another one.
    let stranger = Member::start(listener(), Start::Alone).await;
    assert!(matches!(first.cluster.add(&stranger.address).await, Err(ClusterError::Membership(_))));
}

#[actix_web::test]
async fn a_wiped_node_comes_back_as_another_one() {
    let [first, second, third] = Member::three().await;
    let old = third.cluster.node_id().unwrap();
    let address: std::net::SocketAddr = third.address.parse().unwrap();
    third.cluster.stop().await;
    drop(third);
    let peers = BTreeSet::from([first.address.clone(), second.address.clone(), address.to_string()]);
    let listener = TcpListener::bind(address).unwrap();
    let back = Member::start(listener, Start::Peers(peers)).await;
    back.waits_until("three voters", |status| voters(status) == 3 && status.members.len() == 3).await;
    let new = back.cluster.node_id().unwrap();
    assert!(new > old, "ids are never used again: {new}");
    first.waits_until("the old one is gone", |status| status.members.iter().all(|m| m.node_id != old)).await;
    back.cluster.propose("test", put("x")).await.unwrap();
}

/// While the third vote is being added, the votes of the first two are both needed: who counts three then, and takes
/// one away, has taken the quorum.
#[actix_web::test]
async fn a_cluster_that_tells_of_three_voters_outlives_its_leader() {
    let mut members = Vec::from(Member::three().await);
    let leader = members.iter().position(Member::is_leader).unwrap();
    let term = members[leader].cluster.status().term;
    members.swap_remove(leader).cluster.stop().await;
    for member in members {
        member.waits_until("a later leader", |status| status.leader.is_some() && status.term > term).await;
    }
}

#[actix_web::test]
async fn without_a_quorum_writes_end_soon_and_reads_go_on() {
    let [first, second, third] = Member::three().await;
    first.cluster.propose("test", put("before")).await.unwrap();
    second.cluster.stop().await;
    third.cluster.stop().await;
    let began = Instant::now();
    let error = first.cluster.propose("test", put("x")).await.unwrap_err();
    assert!(error.retry_after().is_some(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(first.has("before"));
    assert_eq!(first.cluster.unfit(), None, "it proxies");
    assert!(first.cluster.linearizable().await.is_err());
}

#[actix_web::test]
async fn peers_of_two_clusters_stay_two_and_say_so() {
    let listeners = [listener(), listener()];
    let peers: BTreeSet<String> =
        listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let mut directories = Vec::new();
    // Both were alone before somebody named them to each other.
    for _ in 0..2 {
        let directory = TempDir::new().unwrap();
        let cluster = Cluster::start(settings(directory.path(), None, Start::Alone)).await.unwrap();
        cluster.stop().await;
        directories.push(directory);
    }
    let mut members = Vec::new();
    for (listener, directory) in listeners.into_iter().zip(directories) {
        members.push(Member::start_in(directory, listener, Start::Peers(peers.clone())).await);
    }
    for member in &members {
        // Before it leads its cluster of one, the problem is that it has no quorum.
        let says_so = |problem: &String| problem.contains("is of another cluster");
        member.waits_until("it says so", |status| status.problem.as_ref().is_some_and(says_so)).await;
        assert!(member.cluster.unfit().as_ref().is_some_and(says_so));
        assert_eq!(voters(&member.cluster.status()), 1);
    }
}
