//! `/v1/audio/transcriptions`: a multipart form in, the model's usual words out. The audio is not listened to.

use serde_json::json;

use crate::simulated::answer::{Answer, Refusal};
use crate::simulated::inference::{Call, Fields, Stop};
use crate::simulated::prompt::Prompt;

/// Transcribes.
pub(super) async fn transcriptions(call: &mut Call<'_, '_>) -> Result<(), Stop> {
    let Some(name) = form_field(call.body, "model") else {
        return Err(Refusal::new(400, "model is required").into());
    };
    let model = call.model(&name, "completion")?;
    // A form has no options: those of an empty object.
    let mut generation = call.begin(&model, &Fields::parse(b"{}")?, Prompt::default()).await?;
    let text = generation.collect(call.exchange).await?.text;
    let answer = match form_field(call.body, "response_format").as_deref() {
        Some("text") => Answer::text(200, &text),
        _ => Answer::openai(&json!({ "text": text })),
    };
    Ok(call.exchange.answer(answer).await?)
}

/// The value of a text field of a multipart form.
fn form_field(body: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let after_name = text.split_once(&format!("name=\"{name}\""))?.1;
    let (value, _) = after_name.split_once("\r\n\r\n")?.1.split_once("\r\n")?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}
