//! Clients write, write on condition and read with a quorum, through all nodes, while nodes are killed and cut off. What
//! each was told, and when, is one history, and `stateright`'s checker finds an order for it or does not.
//!
//! The checker's search is exponential at worst. So histories are short: each round has an object of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ollamaflow_tests::cluster::{Addresses, Admin, Cluster, Consistency, Partition, Write, revision};
use serde_json::{Value, json};

use super::register::{History, Op, Register, Ret};
use super::scale;

/// Rounds unless `OLLAMAFLOW_TEST_ROUNDS` says otherwise.
const ROUNDS: usize = 30;
/// Clients at the same time.
const CLIENTS: usize = 3;
/// What each does in a round.
const OPERATIONS: usize = 7;
/// How long the trouble may keep a round from beginning: a write through a node that is cut off takes its time.
const TROUBLE_PATIENCE: Duration = Duration::from_secs(120);

/// The object of one round, and everything that happens to it.
struct Round {
    path: String,
    history: History,
    /// No client is known by two numbers, and no two values are the same.
    next: AtomicU64,
}

struct Client {
    admins: Vec<Admin>,
    round: Arc<Round>,
    /// By which the history knows it. A client whose operation has no answer goes on under another number.
    thread: u64,
    last_seen: u64,
}

impl Round {
    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Client {
    fn new(addresses: &Addresses, round: &Arc<Round>, last_seen: u64) -> Self {
        let admins = (0..addresses.count()).map(|node| addresses.admin(node)).collect();
        Self { admins, round: Arc::clone(round), thread: round.number(), last_seen }
    }

    async fn run(mut self) {
        for _ in 0..OPERATIONS {
            let op = match fastrand::u8(..10) {
                0..3 => Op::Write(self.round.number()),
                3..6 => Op::Swap { at: self.last_seen, value: self.round.number() },
                _ => Op::Read,
            };
            self.perform(op).await;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..30))).await;
        }
    }

    async fn perform(&mut self, op: Op) {
        let node = fastrand::usize(..self.admins.len());
        self.round.history.invoked(self.thread, op);
        let heard = match op {
            Op::Write(value) => self.write(node, value, None).await,
            Op::Swap { at, value } => self.write(node, value, Some(at)).await,
            Op::Read => match self.admins[node].read(&self.round.path, Consistency::Linearizable).await {
                Ok(object) => Heard::Answer(value_of(&object)),
                // A read without an answer has done nothing.
                Err(_) => Heard::NotDone,
            },
        };
        match heard {
            Heard::Answer(ret) => {
                if let Ret::Written(revision) | Ret::Value { revision, .. } = ret {
                    self.last_seen = revision;
                }
                self.round.history.returned(self.thread, ret);
            }
            Heard::NotDone => self.round.history.withdrawn(self.thread),
            Heard::Nothing => self.thread = self.round.number(),
        }
    }

    async fn write(&mut self, node: usize, value: u64, at: Option<u64>) -> Heard {
        let id = self.round.path.rsplit('/').next().unwrap();
        let changes = json!({ "Name": value.to_string() });
        let write = self.admins[node].update_backend(id, &changes, at).await;
        match &write {
            Write::Done(_) => Heard::Answer(Ret::Written(write.revision().unwrap())),
            Write::Refused(answer) if answer.status() == 412 => Heard::Answer(Ret::Stale),
            Write::Refused(answer) => {
                panic!("a write was refused with {}: {}", answer.status(), answer.text())
            }
            Write::NotDone(_) => Heard::NotDone,
            Write::Unknown(_) => Heard::Nothing,
        }
    }
}

enum Heard {
    Answer(Ret),
    NotDone,
    Nothing,
}

fn value_of(object: &Value) -> Ret {
    let value = object["Name"].as_str().unwrap().parse().unwrap();
    Ret::Value { value, revision: revision(object).unwrap() }
}

/// Kills, cuts off and heals, until told to stop; then all nodes run and are connected.
async fn trouble(mut cluster: Cluster, stop: Arc<AtomicBool>) -> Cluster {
    while !stop.load(Ordering::Relaxed) {
        let victim = fastrand::usize(..3);
        match fastrand::u8(..4) {
            0 => {
                cluster.kill(victim);
                pause(1500).await;
                cluster.start(victim).await;
            }
            1 => {
                cluster.isolate(victim, Partition::Silent);
                pause(2500).await;
                cluster.heal();
            }
            2 => {
                cluster.isolate(victim, Partition::Refused);
                pause(2500).await;
                cluster.heal();
            }
            _ => {
                cluster.part(victim, (victim + 1) % 3, Partition::Silent);
                pause(1500).await;
                cluster.heal();
            }
        }
        pause(1000).await;
    }
    cluster
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(milliseconds / 4..milliseconds))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_see_is_linearizable_while_nodes_die_and_are_cut_off() {
    let rounds = scale("OLLAMAFLOW_TEST_ROUNDS", ROUNDS);
    let cluster = Cluster::of_three().await;
    let addresses = cluster.addresses();
    let stop = Arc::<AtomicBool>::default();
    let trouble = tokio::spawn(trouble(cluster, Arc::clone(&stop)));
    let mut answers = 0;
    for number in 0..rounds {
        let (path, first) = object(&addresses, number).await;
        let round = Arc::new(Round { path, history: History::default(), next: AtomicU64::new(1) });
        let clients = (0..CLIENTS).map(|_| tokio::spawn(Client::new(&addresses, &round, first).run()));
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        let verdict = round.history.is_linearizable(Register::new(0, first));
        assert_eq!(verdict, Ok(true), "round {number}: {:#?}", round.history);
        answers += round.history.answers();
    }
    stop.store(true, Ordering::Relaxed);
    let cluster = trouble.await.unwrap();
    println!("{rounds} rounds, {answers} of {} operations were answered", rounds * CLIENTS * OPERATIONS);
    assert!(answers >= rounds * CLIENTS, "hardly any operation was answered");
    cluster.agree().await;
}

/// The object of a round, which holds 0, and its revision.
async fn object(addresses: &Addresses, number: usize) -> (String, u64) {
    let id = format!("register-{number}");
    let path = format!("/v1.0/backends/{id}");
    let backend = json!({ "Identifier": id, "Name": "0", "Active": false });
    let mut turn = 0;
    ollamaflow_tests::wait::until_answered_within("a round's object is there", TROUBLE_PATIENCE, async || {
        turn += 1;
        let mut admin = addresses.admin(turn % addresses.count());
        // A creation that got no answer may have been made.
        if let Ok(object) = admin.read(&path, Consistency::Linearizable).await {
            return Ok((path.clone(), revision(&object).unwrap()));
        }
        Err(format!("{:?}", admin.create_backend(&backend).await))
    })
    .await
}
