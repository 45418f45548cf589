//! The settings that are accepted for the sake of existing files and have no effect in this version.
//!
//! The list is here and nowhere else: a part that starts to honour a setting removes its line.

use super::Settings;
use super::layers::{Origin, Origins, lookup};

/// Settings, or groups of them, and what the operator can do instead.
pub(super) const INERT: [(&str, &str); 9] = [
    ("Webserver.UseMachineHostname", "responses carry no Host header"),
    ("Webserver.IO.StreamBufferSize", "buffers size themselves"),
    ("Webserver.Ssl.PfxCertificateFile", "give PEM files in CertificateFile and KeyFile"),
    ("Webserver.Ssl.PfxCertificatePassword", "give PEM files in CertificateFile and KeyFile"),
    ("Webserver.Ssl.AcceptInvalidAcertificates", "client certificates are verified by ClientCaFile, always"),
    ("Webserver.Headers.IncludeContentLength", "the length is sent whenever it is known"),
    ("Webserver.Debug", "use Logging.MinimumSeverity 0 for detail"),
    ("DatabaseFilename", "write the objects into Frontends and Backends of the settings file"),
    ("Webserver.IO.MaxIncomingHeadersSize", "the head of a request may have up to 128 KiB"),
];

/// A sentence for each setting without effect that a layer sets to something else than its default.
pub(super) fn notices(settings: &Settings, origins: &Origins) -> Vec<String> {
    let (Ok(effective), Ok(default)) =
        (serde_json::to_value(settings), serde_json::to_value(Settings::default()))
    else {
        return Vec::new();
    };
    let mut notices = Vec::new();
    for (path, origin) in origins.iter() {
        let name = path.to_string();
        let Some((_, instead)) = INERT.iter().find(|(inert, _)| covers(inert, &name)) else { continue };
        let changed = lookup(&effective, path.segments()) != lookup(&default, path.segments());
        if changed && *origin != Origin::Default {
            notices.push(format!("{name} ({origin}) has no effect in this version: {instead}"));
        }
    }
    notices
}

fn covers(group: &str, name: &str) -> bool {
    name.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Settings that must not be passed over in silence: each is a path and what is wrong with it.
pub(super) fn refusals(settings: &Settings) -> Vec<(&'static str, &'static str)> {
    let mut refusals = Vec::new();
    refusals.extend(settings.webserver.ssl.fault());
    if settings.webserver.access_control != super::AccessControl::default() {
        let reason = "must be left at its default: this version does not filter addresses, use a firewall";
        refusals.push(("Webserver.AccessControl", reason));
    }
    refusals
}
