//! Images that requests name by URL, for backends that take none by URL.

use ollamaflow_protocol::object::Frontend;
use ollamaflow_protocol::translate::{RemoteMedia, Request};

use super::refusal::Refusal;
use crate::media::{Fetcher, NotFetched};

/// Puts the images in place of their URLs, if the frontend allows it; else they stay, and the writer of the request refuses
/// them.
pub(super) async fn fetch(
    request: &mut Request,
    frontend: &Frontend,
    fetcher: Option<&Fetcher>,
) -> Result<(), Refusal> {
    let Some(fetcher) = fetcher.filter(|_| frontend.allow_image_urls) else { return Ok(()) };
    let media = request.remote_media();
    let urls: Vec<&str> = media.iter().map(RemoteMedia::url).collect();
    let images = fetcher.fetch_all(&urls).await.map_err(|NotFetched { which, error }| {
        let field = which.and_then(|index| media.get(index)).map(|media| media.field().to_owned());
        Refusal::Image { field, error }
    })?;
    for (media, image) in media.into_iter().zip(images) {
        media.fetched(image.base64, Some(image.media_type.to_owned()));
    }
    Ok(())
}
