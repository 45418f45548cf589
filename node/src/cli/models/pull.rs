//! `ollamaflow models pull`: one download to many backends, and how far it is.
//!
//! The node merges the progress of all backends into one stream. Here it becomes bars on a terminal, lines elsewhere,
//! and with `--json` the lines of the stream as they came.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::client::{Page, Pen};
use crate::cli::remote::{Call, Remote, RemoteError, printable, sentence};
use crate::cli::{Verdict, door};

/// How a layer is shown: everything but the bar itself is short.
const BAR: &str = "{prefix:12} {wide_bar} {bytes:>10}/{total_bytes:<10} {binary_bytes_per_sec:>12} {eta:>4}";

/// Longest wait for the first line. Another client's pull of the same model is waited for by the node.
const PATIENCE: Duration = Duration::from_secs(600);

/// Layers that are shown at most; no model has near so many.
const MAX_BARS: usize = 64;

/// Which backends a change of models goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Through {
    /// The frontend; none for the only one.
    pub frontend: Option<String>,
    /// Only these backends of it; it then does not change what it requires.
    pub backends: Vec<String>,
}

/// A line of the stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    status: String,
    digest: Option<String>,
    total: Option<u64>,
    completed: Option<u64>,
}

/// Bars by layer.
struct Bars {
    all: MultiProgress,
    layers: HashMap<String, ProgressBar>,
    style: ProgressStyle,
}

/// What is told to whoever sees no bars: each state once.
#[derive(Default)]
struct Told(HashSet<String>);

// === Through ===

impl Through {
    /// The call, to these backends only.
    pub(super) fn narrow(&self, call: Call) -> Call {
        if self.backends.is_empty() {
            return call;
        }
        call.header("x-ollamaflow-backend-filter", &self.backends.join(","))
    }
}

pub(super) async fn run(
    remote: &Remote,
    model: &str,
    through: &Through,
    pen: &mut Pen<'_>,
) -> Result<Verdict, RemoteError> {
    let door = door::find(remote, through.frontend.as_deref()).await?;
    let call = through.narrow(Call::post("/api/pull")).for_frontend(&door.host);
    let call = call.json(&json!({ "model": model, "stream": true }));
    let mut lines = remote.stream(call, PATIENCE).await.map_err(hint)?;
    let places = lines.header("x-ollamaflow-backends").map(printable);
    let bars = (!pen.is_json() && pen.screen.shows_progress).then(Bars::new).transpose()?;
    let (mut bars, mut told, mut is_done) = (bars, Told::default(), false);
    while let Some(line) = lines.next().await? {
        let value: Value = serde_json::from_slice(&line).unwrap_or_default();
        if pen.is_json() {
            writeln!(pen.output, "{value}")?;
            pen.output.flush()?;
        }
        if value.get("error").is_some() {
            let reason = sentence(&value).map_or_else(|| "no reason is given".to_owned(), printable);
            return Err(RemoteError::Failed(format!("{model} was not pulled everywhere: {reason}")));
        }
        let line: Line = serde_json::from_value(value).unwrap_or_default();
        is_done = line.status == "success";
        match &mut bars {
            // Said below, in more words.
            _ if is_done => {}
            Some(bars) => bars.show(&line),
            None if !pen.is_json() => told.tell(&line, pen)?,
            None => {}
        }
    }
    if bars.take().is_some() {
        // The bars end at the right edge of their last line.
        let _ = writeln!(std::io::stderr());
    }
    if !is_done {
        return Err(RemoteError::Failed(format!(
            "the pull of {model} was cut off: `models list` shows how far it is, and a second pull goes on"
        )));
    }
    if !pen.is_json() {
        let text = format!("{model} was pulled to {}", destinations(&places.unwrap_or_default()));
        pen.page(&Page::done(text, Value::Null))?;
    }
    Ok(Verdict::Good)
}

/// `b1=asked, b2=unhealthy` in words.
fn destinations(places: &str) -> String {
    let pairs = places.split(',').filter_map(|place| place.trim().split_once('='));
    let (asked, others): (Vec<_>, Vec<_>) = pairs.partition(|(_, state)| *state == "asked");
    let asked: Vec<&str> = asked.into_iter().map(|(backend, _)| backend).collect();
    let others: Vec<String> = others.iter().map(|(backend, state)| format!("{backend} ({state})")).collect();
    let asked = if asked.is_empty() { "the backends".to_owned() } else { asked.join(", ") };
    if others.is_empty() { asked } else { format!("{asked}; passed over: {}", others.join(", ")) }
}

/// What to do about a refusal.
pub(super) fn hint(error: RemoteError) -> RemoteError {
    match error {
        RemoteError::Refused { status: 403, message } => RemoteError::Refused {
            status: 403,
            message: format!("{message} (`frontends set ID AllowModelManagement=true` gives the permission)"),
        },
        error => error,
    }
}

// === Bars ===

impl Bars {
    fn new() -> Result<Self, RemoteError> {
        let style =
            ProgressStyle::with_template(BAR).map_err(|error| RemoteError::Failed(error.to_string()))?;
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Ok(Self { all, layers: HashMap::new(), style })
    }

    fn show(&mut self, line: &Line) {
        let (Some(digest), Some(total)) = (&line.digest, line.total) else {
            // A closed terminal is no reason to stop the pull.
            let _ = self.all.println(printable(&line.status));
            return;
        };
        if self.layers.len() >= MAX_BARS && !self.layers.contains_key(digest) {
            return;
        }
        let bar = self.layers.entry(digest.clone()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(total)).with_style(self.style.clone());
            bar.with_prefix(short(digest))
        });
        bar.set_length(total);
        bar.set_position(line.completed.unwrap_or_default());
        if line.completed == Some(total) {
            bar.finish();
        }
    }
}

// === Told ===

impl Told {
    fn tell(&mut self, line: &Line, pen: &mut Pen<'_>) -> Result<(), RemoteError> {
        let state = match &line.digest {
            Some(digest) => format!("pulling {}", short(digest)),
            None => printable(&line.status),
        };
        if !self.0.contains(&state) && self.0.len() < MAX_BARS {
            writeln!(pen.output, "{state}")?;
            pen.output.flush()?;
            self.0.insert(state);
        }
        Ok(())
    }
}

/// As Ollama shows it.
fn short(digest: &str) -> String {
    printable(digest.strip_prefix("sha256:").unwrap_or(digest)).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backends_that_were_asked_and_passed_over_are_told_apart() {
        assert_eq!(destinations("b1=asked, b2=asked"), "b1, b2");
        assert_eq!(destinations("b1=asked, b2=unhealthy"), "b1; passed over: b2 (unhealthy)");
        assert_eq!(destinations(""), "the backends");
    }

    #[test]
    fn layers_are_named_as_ollama_names_them() {
        assert_eq!(short("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short("x\u{1b}"), "x ");
    }
}
