//! Names of models in the two list formats: Ollama's `/api/tags` and OpenAI's `/v1/models`.

use ollamaflow_protocol::object::ApiFormat;
use serde::Deserialize;

/// Reads the names from a list's body. A list may be null; a body without one is no empty list, since a backend that is
/// known to have no models gets no requests for them.
pub(super) fn names(format: ApiFormat, body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Tags {
        #[serde(deserialize_with = "Option::deserialize")]
        models: Option<Vec<Tag>>,
    }
    #[derive(Deserialize)]
    struct Tag {
        name: String,
    }
    #[derive(Deserialize)]
    struct List {
        #[serde(deserialize_with = "Option::deserialize")]
        data: Option<Vec<Model>>,
    }
    #[derive(Deserialize)]
    struct Model {
        id: String,
    }
    if format == ApiFormat::OpenAI {
        let list: List = serde_json::from_slice(body)?;
        return Ok(list.data.unwrap_or_default().into_iter().map(|model| model.id).collect());
    }
    let tags: Tags = serde_json::from_slice(body)?;
    Ok(tags.models.unwrap_or_default().into_iter().map(|tag| tag.name).collect())
}

/// Where the list is.
pub(super) fn path(format: ApiFormat) -> &'static str {
    match format {
        ApiFormat::OpenAI => "/v1/models",
        _ => "/api/tags",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_list_formats_are_read_and_null_is_empty() {
        let tags = br#"{"models":[{"name":"a:latest","size":1},{"name":"b:7b"}]}"#;
        assert_eq!(names(ApiFormat::Ollama, tags).unwrap(), ["a:latest", "b:7b"]);
        let list = br#"{"object":"list","data":[{"id":"x","object":"model"}]}"#;
        assert_eq!(names(ApiFormat::OpenAI, list).unwrap(), ["x"]);
        assert!(names(ApiFormat::OpenAI, br#"{"data":null}"#).unwrap().is_empty());
        for body in [&b"7"[..], b"{}", b""] {
            assert!(names(ApiFormat::Ollama, body).is_err() && names(ApiFormat::OpenAI, body).is_err());
        }
    }
}
