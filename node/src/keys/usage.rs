//! The books: what keys have used, in a file for each day.
//!
//! One thread owns the files. It takes what has been counted every [`FLUSH`], before each answer and at the end of the node,
//! so a node that is killed loses what was counted in the last [`FLUSH`], and nothing that an answer has shown.

mod days;

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ollamaflow_protocol::usage::{UsageFilter, UsageRows};
use tokio::sync::oneshot;

use self::days::Days;
use super::table::Keys;

/// How often counts are written, if there are any.
const FLUSH: Duration = Duration::from_secs(5);

/// Most questions that wait for the thread.
const MOST_WAITING: usize = 32;

/// The books of this node.
#[derive(Debug)]
pub struct Usage {
    jobs: SyncSender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why the books cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// Their place cannot be used.
    #[error("usage cannot be kept in {path}: {source}")]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Too many want to know at once.
    #[error("usage is asked for too often: try again in a moment")]
    Busy,
    /// A file cannot be read.
    #[error("usage cannot be read: {0}")]
    Unreadable(String),
    /// The node stops.
    #[error("the node is shutting down")]
    Stopping,
}

enum Job {
    Read(UsageFilter, oneshot::Sender<Result<UsageRows, UsageError>>),
    Stop,
}

// === impl Usage ===

impl Usage {
    /// Opens the books in this directory and begins to write down what the keys count.
    ///
    /// # Errors
    /// The directory cannot be made, or there can be no thread.
    pub fn start(directory: PathBuf, keys: Arc<Keys>) -> Result<Arc<Self>, UsageError> {
        let days = Days::open(directory.clone())
            .map_err(|source| UsageError::Directory { path: directory.clone(), source })?;
        let (jobs, waiting) = sync_channel(MOST_WAITING);
        let thread =
            thread::Builder::new().name("usage".to_owned()).spawn(move || work(days, &keys, &waiting));
        let thread = thread.map_err(|source| UsageError::Directory { path: directory, source })?;
        Ok(Arc::new(Self { jobs, thread: Mutex::new(Some(thread)) }))
    }

    /// What this node has counted, up to now.
    ///
    /// # Errors
    /// A file cannot be read, or the thread has too much to do.
    pub async fn read(&self, filter: UsageFilter) -> Result<UsageRows, UsageError> {
        let (sender, answer) = oneshot::channel();
        self.jobs.try_send(Job::Read(filter, sender)).map_err(|error| match error {
            TrySendError::Full(_) => UsageError::Busy,
            TrySendError::Disconnected(_) => UsageError::Stopping,
        })?;
        answer.await.unwrap_or(Err(UsageError::Stopping))
    }

    /// Writes what is left, and ends the thread.
    pub async fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let jobs = self.jobs.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let _ = jobs.send(Job::Stop);
            thread.join()
        });
        if !matches!(ended.await, Ok(Ok(()))) {
            tracing::error!("the thread that keeps usage died; what was counted last is lost");
        }
    }
}

fn work(mut days: Days, keys: &Keys, jobs: &Receiver<Job>) {
    loop {
        let job = jobs.recv_timeout(FLUSH);
        days.enter(keys.drain());
        match job {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Job::Read(filter, answer)) => {
                let rows = days.read(&filter).map_err(|error| UsageError::Unreadable(error.to_string()));
                // Whoever asked may have gone.
                let _ = answer.send(rows);
            }
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
