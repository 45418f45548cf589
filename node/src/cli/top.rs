//! `ollamaflow top`: a live view of one node. q, Esc or Ctrl-C leave it.
//!
//! A frame is made of what the admin API and the metrics tell; rates are between two frames. On no terminal, with `--once`
//! and with `--json` it is one frame, whose rates are measured over one interval.

mod frame;
mod metrics;
mod window;

use std::time::{Duration, Instant};

use self::frame::Frame;
use self::metrics::Metrics;
use self::window::{Event, Window};
use super::Verdict;
use super::client::{Page, Pen};
use super::objects::Kind;
use super::remote::{Call, Remote, RemoteError};
use super::wire::Backend;
use crate::cluster::Status;

/// How to show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// Time between two frames.
    pub interval: Duration,
    /// Whether to print one frame and leave.
    pub once: bool,
}

/// What is known at one moment.
struct Sample {
    at: Instant,
    cluster: Status,
    backends: Vec<Backend>,
    metrics: Metrics,
}

/// Shows it until somebody leaves.
pub(super) async fn run(remote: &Remote, asked: &Top, pen: &mut Pen<'_>) -> Result<Verdict, RemoteError> {
    let mut before = sample(remote).await?;
    if asked.once || pen.is_json() || !pen.screen.is_terminal {
        actix_web::rt::time::sleep(asked.interval).await;
        let now = sample(remote).await?;
        let frame = Frame::new(remote.url(), &before, &now);
        pen.page(&Page::new(frame.text(pen.screen), frame.json()))?;
        return Ok(Verdict::Good);
    }
    let mut window = Window::open(pen.screen, pen.output)?;
    let mut now = None;
    let mut trouble = None;
    loop {
        let shown = now.as_ref().unwrap_or(&before);
        let text = Frame::new(remote.url(), &before, shown).text(window.screen());
        window.show(pen.output, &text, trouble.as_deref())?;
        match window.wait(asked.interval).await? {
            Event::Leave => break,
            Event::Redraw => continue,
            Event::Refresh => {}
        }
        match sample(remote).await {
            Ok(next) => {
                if let Some(last) = now.replace(next) {
                    before = last;
                }
                trouble = None;
            }
            // The node may be back in a moment; the last frame stays, and says so.
            Err(error) => trouble = Some(error.to_string()),
        }
    }
    window.close(pen.output)?;
    Ok(Verdict::Good)
}

async fn sample(remote: &Remote) -> Result<Sample, RemoteError> {
    let cluster = remote.send(Call::get("/v1.0/cluster")).await?.read()?;
    let backends = remote.send(Call::get(Kind::Backend.list_path())).await?.read()?;
    let metrics = remote.send(Call::get("/metrics")).await?;
    let metrics = Metrics::parse(&String::from_utf8_lossy(&metrics.body));
    Ok(Sample { at: Instant::now(), cluster, backends, metrics })
}
