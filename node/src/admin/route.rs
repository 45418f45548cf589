//! A path with its methods, as it is registered and as its description is compared with it.

use actix_web::{HttpRequest, HttpResponse, Resource, Route, web};

use super::failure::Failure;

/// A path, which answers other methods than those of its routes with 405.
pub(super) struct Routed {
    /// The path below its scope, in actix's notation.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test compares it with the description"))]
    pub(super) path: &'static str,
    /// Its methods, as the header `Allow` names them.
    #[cfg_attr(not(test), expect(dead_code, reason = "the test compares it with the description"))]
    pub(super) allow: &'static str,
    pub(super) resource: Resource,
}

/// A path that answers other methods than those of its routes with 405 and `allow`.
pub(super) fn path(path: &'static str, allow: &'static str) -> Routed {
    let refuse = move |request: HttpRequest| async move {
        let (method, path) = (request.method().to_string(), request.path().to_owned());
        Err::<HttpResponse, _>(Failure::Method { method, path, allow })
    };
    Routed { path, allow, resource: web::resource(path).default_service(web::to(refuse)) }
}

// === impl Routed ===

impl Routed {
    /// The same path with one more method.
    pub(super) fn route(self, route: Route) -> Self {
        Self { resource: self.resource.route(route), ..self }
    }
}
