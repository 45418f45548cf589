//! `/api/pull` and `/api/push`.
//!
//! A download is driven by its clients: each takes the steps that are due, so that two who pull the same layer share one
//! download, and it stops, keeping what it has, when the last of them leaves.

use std::time::Duration;

use tokio::time::sleep_until;

use super::progress::{Teller, failed};
use crate::simulated::answer::Refusal;
use crate::simulated::inference::{Call, Fields, Stop};
use crate::simulated::library::{Layer, Manifest, Pace, Standing, canonical, hex_of};
use crate::simulated::registry::PullFault;
use crate::simulated::stats::PullGuard;

/// Where an Ollama in a container keeps its models.
const MODELS: &str = "/root/.ollama/models";

/// A smaller layer is downloaded in one step, at once.
const SMALL_LAYER_BYTES: u64 = 1024;

/// Downloads what is not here yet, and installs the model.
pub(super) async fn pull(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let mut teller = Teller::new(fields.stream(true));
    let result = fetch(call, &mut teller, &name).await;
    teller.conclude(call, result).await
}

/// A pull up to its `success`.
pub(super) async fn fetch(call: &mut Call<'_, '_>, teller: &mut Teller, name: &str) -> Result<(), Stop> {
    let counted = call.shared.stats.pull(&canonical(name));
    teller.status(call, "pulling manifest").await?;
    let pause = pace(call, name).step;
    call.exchange.wait(tokio::time::sleep(pause)).await?;
    if call.knobs.unpullable.iter().any(|other| canonical(other) == canonical(name)) {
        return Err(failed("pull model manifest: file does not exist"));
    }
    let trouble = match call.shared.registry.armed(name) {
        Some(PullFault::NotFound) => Some("pull model manifest: file does not exist"),
        Some(PullFault::Unavailable) => Some("pull model manifest: 503: no healthy upstream"),
        _ => None,
    };
    if let Some(message) = trouble {
        call.shared.registry.struck(name);
        return Err(failed(message));
    }
    let mut spec = call.shared.registry.spec(name);
    let manifest = Manifest::published(&spec);
    let largest = manifest.blobs().max_by_key(|layer| layer.size).map(|layer| layer.digest.clone());
    for layer in manifest.blobs() {
        let faulty = largest.as_deref() == Some(&layer.digest);
        download(call, teller, name, layer, faulty, &counted).await?;
    }
    teller.status(call, "verifying sha256 digest").await?;
    teller.status(call, "writing manifest").await?;
    name.clone_into(&mut spec.name);
    if call.shared.library.link(spec, manifest) {
        teller.status(call, "removing unused layers").await?;
    }
    counted.finish();
    Ok(())
}

/// Downloads a layer, if it is not here.
async fn download(
    call: &mut Call<'_, '_>,
    teller: &mut Teller,
    name: &str,
    layer: &Layer,
    faulty: bool,
    counted: &PullGuard,
) -> Result<(), Stop> {
    let Some(download) = call.shared.library.download(layer) else {
        return teller.layer(call, "pulling", &layer.digest, layer.size, layer.size).await;
    };
    let mut changes = call.shared.registry.changes();
    let mut told = download.completed();
    teller.layer(call, "pulling", &layer.digest, told, layer.size).await?;
    loop {
        changes.borrow_and_update();
        let fault = call.shared.registry.armed(name).filter(|_| faulty);
        let limit = if fault.is_some() { layer.size / 2 } else { u64::MAX };
        let capacity = call.shared.knobs().disk_bytes;
        let step = download.step(pace_of(call, name, layer), limit, capacity);
        let (came, standing) = step.map_err(|_| no_space(layer))?;
        counted.received(came);
        let Standing::At { completed, due } = standing else { break };
        if completed > told {
            told = completed;
            teller.layer(call, "pulling", &layer.digest, told, layer.size).await?;
        }
        if completed >= limit {
            match fault {
                Some(PullFault::DiskFull) => {
                    call.shared.registry.struck(name);
                    return Err(no_space(layer));
                }
                Some(PullFault::Cut) => {
                    call.shared.registry.struck(name);
                    return Err(failed("max retries exceeded: unexpected EOF"));
                }
                _ => drop(call.exchange.wait(changes.changed()).await?),
            }
        } else {
            let change_or_step = async {
                tokio::select! {
                    _ = changes.changed() => {}
                    () = sleep_until(due) => {}
                }
            };
            call.exchange.wait(change_or_step).await?;
        }
    }
    teller.layer(call, "pulling", &layer.digest, layer.size, layer.size).await
}

/// Uploads, to namespaces that have an owner: nobody may push to the library.
pub(super) async fn push(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let mut teller = Teller::new(fields.stream(true));
    let result = upload(call, &mut teller, &name).await;
    teller.conclude(call, result).await
}

async fn upload(call: &mut Call<'_, '_>, teller: &mut Teller, name: &str) -> Result<(), Stop> {
    teller.status(call, "retrieving manifest").await?;
    let Some(model) = call.shared.library.find(name) else {
        teller.status(call, "couldn't retrieve manifest").await?;
        let path = manifest_path(name);
        return Err(failed(format!("open {MODELS}/manifests/{path}: no such file or directory")));
    };
    let pace = pace(call, name);
    for layer in model.manifest.blobs() {
        let steps = if layer.size < SMALL_LAYER_BYTES { 1 } else { pace.steps.max(1) };
        for step in 0..=steps {
            let completed = layer.size * step / steps;
            teller.layer(call, "pushing", &layer.digest, completed, layer.size).await?;
            call.exchange.wait(tokio::time::sleep(pace.step)).await?;
        }
    }
    teller.status(call, "pushing manifest").await?;
    if canonical(name).contains('/') {
        return Ok(());
    }
    Err(failed("push access denied, repository does not exist or may require authorization: unauthorized"))
}

/// The disk is full.
pub(super) fn no_space_for(digest: &str) -> Refusal {
    let hex = hex_of(digest).unwrap_or(digest);
    Refusal::new(500, format!("write {MODELS}/blobs/sha256-{hex}-partial: no space left on device"))
}

/// What Ollama says of a blob that is not there.
pub(super) fn no_blob(digest: &str) -> Stop {
    let hex = hex_of(digest).unwrap_or(digest);
    failed(format!("open {MODELS}/blobs/sha256-{hex}: no such file or directory"))
}

fn no_space(layer: &Layer) -> Stop {
    no_space_for(&layer.digest).into()
}

fn manifest_path(name: &str) -> String {
    let name = canonical(name).replacen(':', "/", 1);
    match name.matches('/').count() {
        1 => format!("registry.ollama.ai/library/{name}"),
        2 => format!("registry.ollama.ai/{name}"),
        _ => name,
    }
}

fn pace_of(call: &Call<'_, '_>, name: &str, layer: &Layer) -> Pace {
    let pace = pace(call, name);
    if layer.size < SMALL_LAYER_BYTES { Pace { steps: 1, step: Duration::ZERO } } else { pace }
}

fn pace(call: &Call<'_, '_>, name: &str) -> Pace {
    let of_backend =
        Pace { steps: call.knobs.pull_steps, step: Duration::from_millis(call.knobs.pull_step_ms) };
    call.shared.registry.pace(name).unwrap_or(of_backend)
}
