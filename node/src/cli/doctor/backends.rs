//! The backends: how the node finds them, and what is to be done about those that are down.

use super::probe::{Answer, probe};
use super::report::Report;
use crate::cli::objects::render_health;
use crate::cli::wire::Backend;

/// Backends that are probed from here, at most: each may take seconds.
const MAX_PROBES: usize = 32;

pub(super) async fn check(backends: &[Backend], is_here: bool, report: &mut Report) {
    if backends.is_empty() {
        let mend = "`ollamaflow backends set b1 --create Hostname=localhost Port=11434`, then put it into a frontend";
        return report.broken("backends", "there are none", mend);
    }
    let mut probes = 0;
    for backend in backends {
        let subject = format!("backend {}", backend.identifier);
        let (health, _) = render_health(backend);
        match (backend.is_probed(), backend.is_healthy(), backend.state.as_str()) {
            (false, ..) => report.skip(&subject, "off"),
            (true, true, "Draining") => {
                let mend =
                    format!("`ollamaflow backends enable {}` when it may take requests", backend.identifier);
                report.doubtful(&subject, &format!("{health}, draining"), &mend);
            }
            (true, true, _) => report.fine(&subject, &format!("{health}, at {}", backend.address())),
            (true, false, _) if probes == MAX_PROBES => {
                report.broken(&subject, &health, "mend those above first, then look again");
            }
            (true, false, _) => {
                probes += 1;
                check_down(&subject, &health, backend, is_here, report).await;
            }
        }
    }
}

/// A backend that the node finds down: what this machine finds says why, mostly.
async fn check_down(subject: &str, health: &str, backend: &Backend, is_here: bool, report: &mut Report) {
    let address = backend.address();
    if !is_here && is_loopback(&backend.hostname) {
        let mend = "it is on the machine of the node: run doctor there";
        return report.broken(subject, &format!("{health}, at {address}"), mend);
    }
    if let Some(name) = &backend.tls_server_name {
        // Whatever was found would be about another name.
        let mend = format!(
            "this command cannot ask for TlsServerName {name}: the log of the node says why the backend is unhealthy"
        );
        return report.broken(subject, &format!("{health}, at {address}"), &mend);
    }
    let answer = probe(backend).await;
    let from = if is_here { String::new() } else { ", as this machine finds".to_owned() };
    let text = format!("{health}, at {address}: {}{from}", answer.text(backend));
    report.broken(subject, &text, &answer.mend(backend));
}

/// Whether the name means the machine that uses it.
fn is_loopback(hostname: &str) -> bool {
    let name = hostname.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

// === Answer ===

impl Answer {
    fn text(&self, backend: &Backend) -> String {
        let path = &backend.health_check_url;
        match self {
            Self::NoName(reason) => format!("the name cannot be resolved ({reason})"),
            Self::Refused => "nobody listens there".to_owned(),
            Self::Silent => "no answer in time".to_owned(),
            Self::NoTls(reason) => format!("no TLS connection ({reason})"),
            Self::Broken(reason) => format!("it does not answer as an HTTP server ({reason})"),
            Self::Status(status) => format!("{path} answers {status}"),
        }
    }

    fn mend(&self, backend: &Backend) -> String {
        let id = &backend.identifier;
        let set = |change: &str| format!("`ollamaflow backends set {id} {change}`");
        match self {
            Self::NoName(_) => format!("correct the name in the DNS, or {}", set("Hostname=...")),
            Self::Refused => format!(
                "start the engine (Ollama on another machine needs OLLAMA_HOST=0.0.0.0), or {}",
                set("Port=...")
            ),
            Self::Silent => "is the machine on, and is no firewall in between? a loaded engine may be too slow: HealthCheck.TimeoutMs".to_owned(),
            Self::NoTls(_) => format!(
                "mend its certificate; if that is for another name {}, if it is of an authority of your own {}, if it \
                 speaks no TLS {}",
                set("TlsServerName=..."),
                set("TlsCa=..."),
                set("Ssl=false")
            ),
            Self::Broken(_) if !backend.ssl => format!("if it speaks TLS {}", set("Ssl=true")),
            Self::Broken(_) => "see the log of the engine".to_owned(),
            Self::Status(401 | 403) => format!(
                "it wants a key, and this command has none to try: see that it is right, {} with {{\"BearerToken\": \"...\"}}",
                set("--file -")
            ),
            Self::Status(404 | 405) => format!(
                "name a path that it has: {} for vLLM and llama.cpp, {} for Ollama",
                set("HealthCheckUrl=/health"),
                set("HealthCheckUrl=/")
            ),
            Self::Status(200..=299) => "it answers here: it has just come back, or only the node cannot reach it; look again in a moment".to_owned(),
            Self::Status(_) => "the engine itself fails: see its log, and start it again".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_an_advice_that_names_the_backend() {
        let backend = Backend { identifier: "gpu1".to_owned(), ..Backend::default() };
        for (answer, advice) in [
            (Answer::NoName("x".to_owned()), "gpu1 Hostname="),
            (Answer::Refused, "gpu1 Port="),
            (Answer::NoTls("x".to_owned()), "gpu1 TlsServerName="),
            (Answer::NoTls("x".to_owned()), "gpu1 Ssl=false"),
            (Answer::Broken("x".to_owned()), "gpu1 Ssl=true"),
            (Answer::Status(401), "gpu1 --file -"),
            (Answer::Status(404), "gpu1 HealthCheckUrl=/health"),
            (Answer::Status(500), "log"),
            (Answer::Status(200), "look again"),
            (Answer::Silent, "firewall"),
        ] {
            assert!(answer.mend(&backend).contains(advice), "{answer:?}: {}", answer.mend(&backend));
        }
    }

    #[test]
    fn this_machine_has_many_names() {
        assert!(["localhost", "LOCALHOST", "127.0.0.2", "::1", "[::1]"].iter().all(|name| is_loopback(name)));
        assert!(!["gpu1", "10.0.0.1"].iter().any(|name| is_loopback(name)));
    }
}
