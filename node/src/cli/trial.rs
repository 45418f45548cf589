//! `ollamaflow try`: sends a prompt through a frontend, as a client does, and tells how long it took and who answered.

mod tally;

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use self::tally::{Route, Tally};
use super::client::Pen;
use super::explain::chat;
use super::remote::{Call, Lines, Remote, RemoteError, sentence};
use super::wire::Models;
use super::{Verdict, door};

/// Longest wait for the head of the answer: longer than a queue, the load of a large model and a long prompt take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Models that a message lists at most.
const MAX_LISTED: usize = 20;

/// What to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trial {
    /// What to say.
    pub prompt: String,
    /// Through which frontend; none for the only one.
    pub frontend: Option<String>,
    /// Which model; none for the frontend's default, or the only one that there is.
    pub model: Option<String>,
    /// The most tokens of the answer.
    pub max_tokens: Option<u32>,
    /// Labels that a backend must have.
    pub labels: Vec<String>,
}

/// A line of the stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    model: Option<String>,
    message: Message,
    done: bool,
    done_reason: Option<String>,
    eval_count: Option<u64>,
    prompt_eval_count: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    content: String,
    thinking: Option<String>,
}

/// Carries it out.
pub(super) async fn run(remote: &Remote, asked: &Trial, pen: &mut Pen<'_>) -> Result<Verdict, RemoteError> {
    let door = door::find(remote, asked.frontend.as_deref()).await?;
    let model = match (&asked.model, &door.frontend.default_model) {
        (Some(model), _) => Some(model.clone()),
        (None, Some(_)) => None,
        (None, None) => Some(only_model(remote, &door.frontend.backends).await?),
    };
    let mut body = chat(model.as_deref(), &asked.prompt);
    body["stream"] = json!(true);
    if let Some(max) = asked.max_tokens {
        body["options"] = json!({ "num_predict": max });
    }
    let mut call = Call::post("/api/chat").for_frontend(&door.host).json(&body);
    if !asked.labels.is_empty() {
        call = call.header("x-ollamaflow-label", &asked.labels.join(","));
    }
    let begin = Instant::now();
    let mut lines = remote.stream(call, PATIENCE).await?;
    let mut tally = Tally::new(Route::of(&door.frontend.identifier, |name| lines.header(name)), begin);
    let outcome = read(&mut lines, &mut tally, pen).await;
    if !pen.is_json() && tally.has_text() {
        writeln!(pen.output, "\n")?;
    }
    outcome?;
    if pen.is_json() {
        writeln!(pen.output, "{:#}", tally.json())?;
    } else {
        writeln!(pen.output, "{}", tally.text(pen.screen))?;
    }
    Ok(Verdict::Good)
}

/// Prints the words as they come, until the stream says that it is complete.
async fn read(lines: &mut Lines, tally: &mut Tally, pen: &mut Pen<'_>) -> Result<(), RemoteError> {
    while let Some(line) = lines.next().await? {
        let value: Value = serde_json::from_slice(&line).unwrap_or_default();
        if value.get("error").is_some() {
            let reason = sentence(&value).unwrap_or("no reason is given");
            return Err(RemoteError::Failed(format!("the answer broke off: {}", plain(reason))));
        }
        let line: Line = serde_json::from_value(value).unwrap_or_default();
        let words = plain(&line.message.content);
        let has_thought = line.message.thinking.is_some_and(|thought| !thought.is_empty());
        if !words.is_empty() || has_thought {
            tally.content(Instant::now(), &words);
        }
        if !pen.is_json() && !words.is_empty() {
            write!(pen.output, "{words}")?;
            pen.output.flush()?;
        }
        if line.done {
            tally.end(Instant::now(), line.model, line.done_reason);
            tally.count(line.prompt_eval_count, line.eval_count);
            return Ok(());
        }
    }
    Err(RemoteError::Failed("the answer was cut off before its end".to_owned()))
}

/// The only model that the backends of the frontend have.
async fn only_model(remote: &Remote, backends: &[String]) -> Result<String, RemoteError> {
    let models: Models = remote.send(Call::get("/v1.0/models")).await?.read()?;
    let is_there = |model: &&super::wire::Model| {
        let mut places = model.backends.iter();
        places.any(|place| place.present == Some(true) && backends.contains(&place.backend))
    };
    let names: Vec<&str> = models.models.iter().filter(is_there).map(|model| model.model.as_str()).collect();
    match names[..] {
        [only] => Ok(only.to_owned()),
        [] => Err(RemoteError::Failed(
            "no backend of the frontend has a model: `ollamaflow models pull MODEL` brings one".to_owned(),
        )),
        _ => {
            let listed = plain(&names[..names.len().min(MAX_LISTED)].join(", "));
            let more = if names.len() > MAX_LISTED { ", ..." } else { "" };
            Err(RemoteError::Failed(format!("name a model by --model: {listed}{more}")))
        }
    }
}

/// The words of a model without what could steer a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\n\tc\r"), "a[2Jb\n\tc");
    }
}
