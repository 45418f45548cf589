//! Writers that go on whatever happens to the nodes: each appends entries of its own to shared objects through a node
//! chosen at random, by compare-and-swap, and keeps what it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ollamaflow_tests::cluster::{Addresses, Admin, Consistency, Write, message, revision};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::ledger::{Fate, Lists, Told};

/// Objects that all writers share at a time.
const OBJECTS: usize = 3;
/// Entries after which writers go on to fresh objects: a write carries the whole list.
const LIST_LENGTH: usize = 150;
/// What the names of the objects begin with.
const PREFIX: &str = "ledger-";
/// Pause after a write that nobody took.
const PAUSE: Duration = Duration::from_millis(20);

/// The running writers.
#[derive(Debug)]
pub struct Writers {
    tasks: Vec<JoinHandle<Vec<Told>>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Writers {
    /// Starts so many.
    pub fn start(count: usize, addresses: &Addresses) -> Self {
        let shared = Arc::<Shared>::default();
        let tasks = (0..count).map(|number| {
            let writer = Writer {
                number,
                next: 0,
                generation: 0,
                admins: (0..addresses.count()).map(|node| addresses.admin(node)).collect(),
                told: Vec::new(),
                shared: Arc::clone(&shared),
            };
            tokio::spawn(writer.run())
        });
        Self { tasks: tasks.collect(), shared }
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets each end what it is doing; what they were told.
    pub async fn stop(self) -> Vec<Told> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut told = Vec::new();
        for task in self.tasks {
            told.extend(task.await.unwrap());
        }
        told
    }
}

/// The lists of all writers in the state of a node.
pub async fn lists(admin: &mut Admin) -> Lists {
    let backends = admin.read("/v1.0/backends", Consistency::Local).await.unwrap();
    let objects = backends.as_array().unwrap().iter();
    let ours = objects.filter_map(|object| Some((object["Identifier"].as_str()?, labels(object))));
    ours.filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, labels)| (name.to_owned(), labels))
        .collect()
}

fn labels(object: &Value) -> Vec<String> {
    let labels = object["Labels"].as_array().map(Vec::as_slice).unwrap_or_default();
    labels.iter().filter_map(|label| label.as_str().map(str::to_owned)).collect()
}

struct Writer {
    number: usize,
    next: usize,
    /// Which objects are written to now.
    generation: usize,
    admins: Vec<Admin>,
    told: Vec<Told>,
    shared: Arc<Shared>,
}

impl Writer {
    async fn run(mut self) -> Vec<Told> {
        while !self.is_stopping() {
            let object = format!("{PREFIX}{}-{}", self.generation, fastrand::usize(..OBJECTS));
            let node = fastrand::usize(..self.admins.len());
            // What it compares with may be old: then the write is refused, as it should be.
            match self.admins[node].read(&format!("/v1.0/backends/{object}"), Consistency::Local).await {
                Ok(stored) if labels(&stored).len() >= LIST_LENGTH => self.generation += 1,
                Ok(stored) => self.append(node, &object, &stored).await,
                Err(_) => self.create(node, &object).await,
            }
        }
        self.told
    }

    fn is_stopping(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// Makes the object, with no entries. Another writer may be faster.
    async fn create(&mut self, node: usize, object: &str) {
        let backend = json!({ "Identifier": object, "Name": object, "Active": false });
        if !matches!(self.admins[node].create_backend(&backend).await, Write::Done(_) | Write::Refused(_)) {
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn append(&mut self, node: usize, object: &str, stored: &Value) {
        let entry = format!("w{}-{}", self.number, self.next);
        self.next += 1;
        let mut list = labels(stored);
        list.push(entry.clone());
        let write =
            self.admins[node].update_backend(object, &json!({ "Labels": list }), revision(stored)).await;
        let (fate, words) = match write {
            Write::Done(_) => {
                self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                (Fate::Acknowledged(write.revision().unwrap()), String::new())
            }
            Write::Refused(answer) if answer.status() == 412 => (Fate::NotMade, message(&answer)),
            Write::Refused(answer) => {
                panic!("a write was refused with {}: {}", answer.status(), answer.text())
            }
            Write::NotDone(words) => (Fate::NotMade, words),
            Write::Unknown(words) => (self.look_for(object, &entry).await, words),
        };
        if !matches!(fate, Fate::Acknowledged(_)) {
            tokio::time::sleep(PAUSE).await;
        }
        self.told.push(Told {
            object: object.to_owned(),
            entry,
            fate,
            words: format!("node {node}: {words}"),
        });
    }

    /// Reads with a quorum whether an entry is there. It is tried once: a cluster that is down may stay so for long.
    async fn look_for(&mut self, object: &str, entry: &str) -> Fate {
        let node = fastrand::usize(..self.admins.len());
        let path = format!("/v1.0/backends/{object}");
        match self.admins[node].read(&path, Consistency::Linearizable).await {
            Ok(stored) if labels(&stored).iter().any(|label| label == entry) => Fate::Seen,
            _ => Fate::Unknown,
        }
    }
}
