//! What changes the installed models without a registry: create, copy, delete, blobs.

use serde_json::Value;

use super::progress::{Teller, failed};
use super::pull::{fetch, no_blob, no_space_for};
use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::inference::{Call, Fields, Stop};
use crate::simulated::library::{Layer, Manifest, ModelSpec, WEIGHTS, canonical, hex_of};

/// Fields of a request to create a model that become a layer of their own.
const OWN_LAYERS: [(&str, &str); 5] = [
    ("template", "application/vnd.ollama.image.template"),
    ("system", "application/vnd.ollama.image.system"),
    ("license", "application/vnd.ollama.image.license"),
    ("parameters", "application/vnd.ollama.image.params"),
    ("messages", "application/vnd.ollama.image.messages"),
];

/// Builds a model from another one, which is pulled if it is not here, or from uploaded blobs.
pub(super) async fn create(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?.to_owned();
    let files = files(&fields)?;
    let mut teller = Teller::new(fields.stream(true));
    let result = build(call, &mut teller, &fields, &name, &files).await;
    teller.conclude(call, result).await
}

async fn build(
    call: &mut Call<'_, '_>,
    teller: &mut Teller,
    fields: &Fields,
    name: &str,
    files: &[(String, String)],
) -> Result<(), Stop> {
    let (mut spec, mut layers) = match fields.text("from").filter(|from| !from.is_empty()) {
        Some(from) => base(call, teller, from).await?,
        None if files.is_empty() => {
            return Err(Refusal::new(400, "neither 'from' or 'files' was specified").into());
        }
        None => (ModelSpec::default(), uploaded(call, teller, files).await?),
    };
    name.clone_into(&mut spec.name);
    let kept = layers.len();
    for (field, media_type) in OWN_LAYERS {
        let Some(value) = fields.get(field).filter(|value| **value != Value::String(String::new())) else {
            continue;
        };
        let bytes = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        layers.retain(|layer| layer.media_type != media_type);
        layers.push(Layer::of(media_type, &bytes));
    }
    for (index, layer) in layers.iter().enumerate() {
        let is_known = index < kept && call.shared.library.blob_size(&layer.digest).is_some();
        let verb = if is_known { "using existing layer" } else { "creating new layer" };
        teller.status(call, &format!("{verb} {}", layer.digest)).await?;
    }
    teller.status(call, "writing manifest").await?;
    let manifest = Manifest::new(&spec, layers);
    call.shared.library.link(spec, manifest);
    Ok(())
}

/// The layers of the model to build on.
async fn base(
    call: &mut Call<'_, '_>,
    teller: &mut Teller,
    from: &str,
) -> Result<(ModelSpec, Vec<Layer>), Stop> {
    if call.shared.library.find(from).is_none() {
        fetch(call, teller, from).await?;
        // Ollama says this twice then: the pull ends, and the creation does.
        teller.status(call, "success").await?;
    }
    let model = call.shared.library.find(from).ok_or_else(|| failed(format!("model '{from}' not found")))?;
    Ok((model.spec, model.manifest.layers))
}

/// The layers that were uploaded for the model. Their bytes were hashed when they came; they are not read as a model.
async fn uploaded(
    call: &mut Call<'_, '_>,
    teller: &mut Teller,
    files: &[(String, String)],
) -> Result<Vec<Layer>, Stop> {
    let mut layers = Vec::new();
    for (path, digest) in files {
        let extension = path.rsplit_once('.').map(|(_, extension)| extension);
        if !matches!(extension, Some("gguf" | "safetensors")) {
            return Err(Refusal::new(400, "unknown type").into());
        }
        teller.status(call, "parsing GGUF").await?;
        let size = call.shared.library.blob_size(digest).ok_or_else(|| no_blob(digest))?;
        let hex = hex_of(digest).unwrap_or_default().to_lowercase();
        layers.push(Layer { media_type: WEIGHTS.to_owned(), digest: format!("sha256:{hex}"), size });
    }
    Ok(layers)
}

/// The files of a request to create a model: paths and digests.
fn files(fields: &Fields) -> Result<Vec<(String, String)>, Refusal> {
    let Some(files) = fields.get("files").and_then(Value::as_object) else { return Ok(Vec::new()) };
    let file = |(path, digest): (&String, &Value)| match digest.as_str().filter(|text| hex_of(text).is_some())
    {
        Some(digest) => Ok((path.clone(), digest.to_owned())),
        None => Err(Refusal::new(400, format!("invalid digest for {path}: invalid digest format"))),
    };
    files.iter().map(file).collect()
}

/// Gives a model a second name: both share their blobs.
pub(super) async fn copy(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let source = fields.text("source").unwrap_or_default();
    let destination = fields.text("destination").unwrap_or_default();
    for (role, name) in [("source", source), ("destination", destination)] {
        if name.is_empty() {
            return Err(Refusal::new(400, format!("{role} \"{name}\" is invalid")).into());
        }
    }
    let Some(model) = call.shared.library.find(source) else {
        return Err(Refusal::new(404, format!("model \"{source}\" not found")).into());
    };
    call.shared.library.link(ModelSpec { name: destination.to_owned(), ..model.spec }, model.manifest);
    Ok(call.exchange.answer(Answer::empty(200)).await?)
}

/// Removes a model from disk and memory.
pub(super) async fn delete(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let fields = Fields::parse(call.body)?;
    let name = fields.model()?;
    if call.shared.library.remove(name).is_none() {
        return Err(Refusal::new(404, format!("model '{name}' not found")).into());
    }
    call.shared.stats.count(|stats| stats.deletes += 1);
    call.shared.scheduler.unload(&canonical(name));
    Ok(call.exchange.answer(Answer::empty(200)).await?)
}

/// Whether a blob is there.
pub(super) async fn blob_head(call: &mut Call<'_, '_>, digest: &str) -> Result<(), Stop> {
    if hex_of(digest).is_none() {
        return Err(Refusal::new(400, "invalid digest format").into());
    }
    if call.shared.library.blob_size(digest).is_none() {
        return Err(Refusal::new(404, format!("blob \"{digest}\" not found")).into());
    }
    Ok(call.exchange.answer(Answer::empty(200)).await?)
}

/// Takes a blob, if its bytes are those of the digest. They were hashed as they came and not kept.
pub(super) async fn blob_post(call: &mut Call<'_, '_>, digest: &str) -> Result<(), Stop> {
    if hex_of(digest).is_none() {
        return Err(Refusal::new(400, "invalid digest format").into());
    }
    if call.shared.library.blob_size(digest).is_some() {
        return Ok(call.exchange.answer(Answer::empty(200)).await?);
    }
    let received = call.body_digest;
    if received != digest {
        let message = format!("digest mismatch, expected \"{digest}\", got \"{received}\"");
        return Err(Refusal::new(400, message).into());
    }
    match call.shared.library.put_blob(digest, call.body_length, call.knobs.disk_bytes) {
        Ok(new) => Ok(call.exchange.answer(Answer::empty(if new { 201 } else { 200 })).await?),
        Err(_) => Err(no_space_for(digest).into()),
    }
}
