//! What changes the installed models: pull, push, create, copy, delete, blobs.

use std::time::Duration;

use serde_json::{Value, json};

use super::NDJSON;
use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::exchange::FrameStyle;
use crate::simulated::inference::{Call, Fields, Stop};
use crate::simulated::library::{ModelSpec, canonical, digest_of, is_digest};

/// Downloads: progress lines, then the model is installed. A model no registry has fails with a line, in a 200 answer.
pub(super) async fn pull(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let missing = call.knobs.unpullable.iter().any(|other| canonical(other) == canonical(&name));
    let spec = ModelSpec::named(name.clone());
    let mut lines = vec![json!({ "status": "pulling manifest" })];
    if missing {
        let message = "pull model manifest: file does not exist";
        if !fields.stream(true) {
            return Err(Refusal::new(500, message).into());
        }
        progress(call, &lines).await?;
        let last = FrameStyle::Ndjson.frame(&json!({ "error": message }));
        return Ok(call.exchange.finish(&last).await?);
    }
    lines.extend(layer_lines(call, &name, "pulling", spec.size));
    lines.extend(["verifying sha256 digest", "writing manifest"].map(|status| json!({ "status": status })));
    progress_to_success(call, fields.stream(true), lines, |call| call.shared.library.install(spec)).await
}

/// Uploads.
pub(super) async fn push(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let Some(model) = call.shared.library.find(&name) else {
        return Err(Refusal::new(404, format!("model '{name}' not found")).into());
    };
    let mut lines = vec![json!({ "status": "retrieving manifest" })];
    lines.extend(layer_lines(call, &name, "pushing", model.spec.size));
    lines.push(json!({ "status": "pushing manifest" }));
    progress_to_success(call, fields.stream(true), lines, |_| ()).await
}

/// Builds a model from another one, or from nothing.
pub(super) async fn create(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let mut spec = match fields.text("from") {
        Some(from) => match call.shared.library.find(from) {
            Some(model) => model.spec,
            None => return Err(Refusal::new(404, format!("model '{from}' not found")).into()),
        },
        None => ModelSpec::default(),
    };
    spec.name.clone_from(&name);
    let layer = format!("using existing layer sha256:{}", digest_of(&canonical(&name)));
    let lines = vec![json!({ "status": layer }), json!({ "status": "writing manifest" })];
    progress_to_success(call, fields.stream(true), lines, |call| call.shared.library.install(spec)).await
}

/// Gives a model a second name.
pub(super) async fn copy(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let source = fields.text("source").unwrap_or_default();
    let destination = fields.text("destination").unwrap_or_default();
    if destination.is_empty() {
        return Err(Refusal::new(400, "destination is required").into());
    }
    let Some(model) = call.shared.library.find(source) else {
        return Err(Refusal::new(404, format!("model '{source}' not found")).into());
    };
    call.shared.library.install(ModelSpec { name: destination.to_owned(), ..model.spec });
    Ok(call.exchange.answer(Answer::empty(200)).await?)
}

/// Removes a model from disk and memory.
pub(super) async fn delete(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?;
    if call.shared.library.remove(name).is_none() {
        return Err(Refusal::new(404, format!("model '{name}' not found")).into());
    }
    call.shared.scheduler.unload(&canonical(name));
    Ok(call.exchange.answer(Answer::empty(200)).await?)
}

/// Whether a blob is there.
pub(super) async fn blob_head(call: &mut Call<'_, '_>, digest: &str) -> Result<(), Stop> {
    let status = match (is_digest(digest), call.shared.library.has_blob(digest)) {
        (false, _) => 400,
        (true, true) => 200,
        (true, false) => 404,
    };
    Ok(call.exchange.answer(Answer::empty(status)).await?)
}

/// Takes a blob; its bytes were read and thrown away, and are not checked against the digest.
pub(super) async fn blob_post(call: &mut Call<'_, '_>, digest: &str) -> Result<(), Stop> {
    if !is_digest(digest) {
        return Err(Refusal::new(400, "invalid digest format").into());
    }
    let known = call.shared.library.put_blob(digest, call.body_length);
    Ok(call.exchange.answer(Answer::empty(if known { 200 } else { 201 })).await?)
}

fn layer_lines(call: &Call<'_, '_>, name: &str, verb: &str, total: u64) -> Vec<Value> {
    let digest = digest_of(&canonical(name));
    let steps = call.knobs.pull_steps.max(1);
    let line = |step: u64| {
        json!({
            "status": format!("{verb} {}", &digest[..12]),
            "digest": format!("sha256:{digest}"),
            "total": total,
            "completed": total * step / steps,
        })
    };
    (1..=steps).map(line).collect()
}

/// Sends the lines and `success`, or only that when no stream is wanted; `done` takes effect before it.
async fn progress_to_success(
    call: &mut Call<'_, '_>,
    stream: bool,
    lines: Vec<Value>,
    done: impl FnOnce(&Call<'_, '_>),
) -> Result<(), Stop> {
    let success = json!({ "status": "success" });
    if stream {
        progress(call, &lines).await?;
        done(call);
        return Ok(call.exchange.finish(&FrameStyle::Ndjson.frame(&success)).await?);
    }
    for _ in &lines {
        pause(call).await?;
    }
    done(call);
    Ok(call.exchange.answer(Answer::native(&success)).await?)
}

/// Begins a stream and sends the lines.
async fn progress(call: &mut Call<'_, '_>, lines: &[Value]) -> Result<(), Stop> {
    call.exchange.open(NDJSON, &[], FrameStyle::Ndjson).await?;
    for line in lines {
        call.exchange.frame(&FrameStyle::Ndjson.frame(line)).await?;
        pause(call).await?;
    }
    Ok(())
}

async fn pause(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let step = Duration::from_millis(call.knobs.pull_step_ms);
    Ok(call.exchange.wait(tokio::time::sleep(step)).await?)
}
