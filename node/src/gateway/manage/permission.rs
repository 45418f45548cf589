//! Who may change models.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header;
use url::{Host, Url};

use crate::gateway::GatewaySettings;
use crate::gateway::ingress::Admitted;

/// Schemes under which programs on a user's own machine show their pages, as Ollama lets them.
const PROGRAMS: [&str; 5] = ["app", "file", "tauri", "vscode-webview", "vscode-file"];

/// Whether the client may change models of the frontend. Where nobody has said so, users of a node that listens on the
/// loopback only may; but pages of other sites, which their browsers show, may not, as with Ollama.
pub(super) fn is_allowed(request: &HttpRequest, admitted: &Admitted, settings: &GatewaySettings) -> bool {
    let by_default = || {
        let origins = request.headers().get_all(header::ORIGIN);
        settings.is_local && origins.into_iter().all(|origin| origin.to_str().is_ok_and(is_own))
    };
    admitted.config.allow_model_management.unwrap_or_else(by_default)
}

/// Whether a page of that origin belongs to this machine.
fn is_own(origin: &str) -> bool {
    // A page that hides where it is from, as any page can have a frame of its own do, says `null`.
    let Ok(url) = Url::parse(origin) else { return false };
    if PROGRAMS.contains(&url.scheme()) {
        return true;
    }
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).to_canonical().is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_are_told_from_others() {
        for own in [
            "http://localhost:3000",
            "https://localhost",
            "http://127.0.0.1:8080",
            "http://[::1]",
            "http://ui.localhost",
            "app://obsidian.md",
            "tauri://localhost",
        ] {
            assert!(is_own(own), "{own}");
        }
        for other in [
            "null",
            "",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://notlocalhost",
            "http://10.0.0.1",
            "chrome-extension://abc",
        ] {
            assert!(!is_own(other), "{other}");
        }
    }
}
