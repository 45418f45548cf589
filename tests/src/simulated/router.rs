//! The route table: format, method and path in, operation out. Pure.

use super::config::ApiFormat;
use super::operation::Operation;

/// Whether and how a request is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// By this operation; the text is the path's variable part, or empty.
    Found(Operation, String),
    /// The path exists with another method.
    WrongMethod,
    /// No such path in this format.
    Missing,
}

/// Looks a request up. Everything but the format `openai` has Ollama's table.
pub(super) fn route(format: ApiFormat, method: &str, path: &str) -> Route {
    let native = path == "/" || path.starts_with("/api/");
    if format == ApiFormat::Openai && native && !path.starts_with("/api/echo/") {
        return Route::Missing;
    }
    if format == ApiFormat::Ollama && path == "/health" {
        return Route::Missing;
    }
    let Some((methods, variable)) = methods_of(path) else { return Route::Missing };
    match methods.iter().find(|(allowed, _)| *allowed == method || *allowed == "*") {
        Some((_, operation)) => Route::Found(*operation, variable.to_owned()),
        None => Route::WrongMethod,
    }
}

type Methods = &'static [(&'static str, Operation)];

fn methods_of(path: &str) -> Option<(Methods, &str)> {
    use Operation as Op;
    let fixed: Methods = match path {
        "/" => &[("GET", Op::Root), ("HEAD", Op::Root)],
        "/health" => &[("GET", Op::Health), ("HEAD", Op::Health)],
        "/api/version" => &[("GET", Op::Version), ("HEAD", Op::Version)],
        "/api/status" => &[("GET", Op::Status)],
        "/api/tags" => &[("GET", Op::Tags), ("HEAD", Op::Tags)],
        "/api/ps" => &[("GET", Op::Ps)],
        "/api/show" => &[("POST", Op::Show)],
        "/api/generate" => &[("POST", Op::Generate)],
        "/api/chat" => &[("POST", Op::Chat)],
        "/api/embed" => &[("POST", Op::Embed)],
        "/api/embeddings" => &[("POST", Op::Embeddings)],
        "/api/pull" => &[("POST", Op::Pull)],
        "/api/push" => &[("POST", Op::Push)],
        "/api/create" => &[("POST", Op::Create)],
        "/api/copy" => &[("POST", Op::Copy)],
        "/api/delete" => &[("DELETE", Op::Delete)],
        "/v1/models" => &[("GET", Op::V1Models)],
        "/v1/chat/completions" => &[("POST", Op::V1Chat)],
        "/v1/completions" => &[("POST", Op::V1Completions)],
        "/v1/embeddings" => &[("POST", Op::V1Embeddings)],
        "/v1/responses" => &[("POST", Op::V1Responses)],
        "/v1/messages" => &[("POST", Op::V1Messages)],
        "/v1/audio/transcriptions" => &[("POST", Op::V1Transcriptions)],
        _ => return methods_below(path),
    };
    Some((fixed, ""))
}

fn methods_below(path: &str) -> Option<(Methods, &str)> {
    use Operation as Op;
    let below = |prefix: &str| path.strip_prefix(prefix).filter(|rest| !rest.is_empty());
    if below("/api/echo/").is_some() || below("/v1/echo/").is_some() {
        return Some((&[("*", Op::Echo)], ""));
    }
    if let Some(digest) = below("/api/blobs/") {
        return Some((&[("HEAD", Op::BlobHead), ("POST", Op::BlobPost)], digest));
    }
    let model = below("/v1/models/")?;
    // One path segment, as in Ollama's router: a name with a slash cannot be asked for.
    (!model.contains('/')).then_some((&[("GET", Op::V1Model)], model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_openai_engine_has_no_native_paths_but_echoes_them() {
        assert_eq!(route(ApiFormat::Openai, "POST", "/api/chat"), Route::Missing);
        assert_eq!(
            route(ApiFormat::Openai, "PUT", "/api/echo/x"),
            Route::Found(Operation::Echo, String::new())
        );
        assert_eq!(
            route(ApiFormat::Openai, "GET", "/health"),
            Route::Found(Operation::Health, String::new())
        );
    }

    #[test]
    fn ollama_knows_no_health_path_and_tells_wrong_methods_apart() {
        assert_eq!(route(ApiFormat::Ollama, "GET", "/health"), Route::Missing);
        assert_eq!(route(ApiFormat::Ollama, "GET", "/api/chat"), Route::WrongMethod);
        assert_eq!(route(ApiFormat::Ollama, "GET", "/v1/models/a/b"), Route::Missing);
        let found = Route::Found(Operation::V1Model, "a".to_owned());
        assert_eq!(route(ApiFormat::Ollama, "GET", "/v1/models/a"), found);
    }
}
