//! The commands that talk to a running node, beside `cluster` and `apply`: what they are, and how their answers come out.
//!
//! Most come to a `Page`, the same answer for people and for programs. Those that take their time write as it comes.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::remote::{self, Access, RemoteError};
use super::screen::Screen;
use super::{Verdict, doctor, explain, export, models, objects, sessions, status, top, trial, usage};

/// One such command.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// How the node, its cluster and the backends are.
    Status,
    /// Frontends, backends and virtual keys.
    Objects(objects::Objects),
    /// Where a request would go.
    Explain(explain::Explain),
    /// Models by backends.
    Models(models::ModelsAction),
    /// Sessions of clients.
    Sessions(sessions::SessionsAction),
    /// What virtual keys have used.
    Usage(usage::UsageAsked),
    /// The catalog, as a file.
    Export(export::Export),
    /// A prompt, and how long it takes.
    Try(trial::Trial),
    /// What is wrong, and how it is mended.
    Doctor(doctor::Doctor),
    /// The live view.
    Top(top::Top),
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerFormat {
    /// Sentences and tables.
    Text,
    /// JSON.
    Json,
}

/// An answer for people and for programs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Page {
    /// Without a line break at the end.
    pub(super) text: String,
    pub(super) json: Value,
}

/// Where a command writes, and how.
pub(super) struct Pen<'a> {
    pub(super) screen: Screen,
    pub(super) format: AnswerFormat,
    pub(super) output: &'a mut dyn Write,
}

/// Carries the command out; its answer goes to `output`, a failure to `errors`.
pub fn run(
    access: Access,
    task: Task,
    format: AnswerFormat,
    screen: Screen,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<Verdict> {
    let mut pen = Pen { screen, format, output };
    let ended = match task {
        Task::Doctor(asked) => remote::block_on(doctor::run(access, &asked, &mut pen)),
        task => access.connect().and_then(|remote| remote::block_on(perform(&remote, task, &mut pen))),
    };
    match ended {
        Ok(verdict) => {
            output.flush()?;
            Ok(verdict)
        }
        Err(RemoteError::Output(error)) => Err(error),
        Err(error) => remote::print(Err(error), output, errors),
    }
}

async fn perform(remote: &remote::Remote, task: Task, pen: &mut Pen<'_>) -> Result<Verdict, RemoteError> {
    let page = match task {
        Task::Status => status::page(remote, pen.screen).await?,
        Task::Objects(asked) => objects::page(remote, &asked, pen.screen).await?,
        Task::Explain(asked) => explain::page(remote, &asked, pen.screen).await?,
        Task::Models(action) => return models::run(remote, &action, pen).await,
        Task::Sessions(action) => sessions::page(remote, &action, pen.screen).await?,
        Task::Usage(asked) => usage::page(remote, &asked, pen.screen).await?,
        Task::Export(asked) => return export::run(remote, &asked, pen).await,
        Task::Try(asked) => return trial::run(remote, &asked, pen).await,
        Task::Top(asked) => return top::run(remote, &asked, pen).await,
        Task::Doctor(_) => return Ok(Verdict::Good),
    };
    pen.page(&page)?;
    Ok(Verdict::Good)
}

// === Page ===

impl Page {
    pub(super) fn new(text: String, json: Value) -> Self {
        Self { text, json }
    }

    /// Something was done; programs get it as `Message` beside these.
    pub(super) fn done(text: String, mut json: Value) -> Self {
        if let Some(members) = json.as_object_mut() {
            members.insert("Message".to_owned(), json!(text));
        }
        Self { text, json }
    }
}

// === Pen ===

impl Pen<'_> {
    pub(super) fn is_json(&self) -> bool {
        self.format == AnswerFormat::Json
    }

    pub(super) fn page(&mut self, page: &Page) -> io::Result<()> {
        match self.format {
            AnswerFormat::Json => writeln!(self.output, "{:#}", page.json),
            AnswerFormat::Text if page.text.is_empty() => Ok(()),
            AnswerFormat::Text => writeln!(self.output, "{}", page.text),
        }
    }
}
