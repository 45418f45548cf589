//! The nodes: whether they answer, are ready and agree, and whether their clocks do.

use std::time::{Duration, SystemTime};

use actix_web::http::header::HttpDate;
use serde_json::Value;

use super::machine::connect;
use super::report::Report;
use crate::cli::remote::{Call, Remote, RemoteError};
use crate::cli::status::reasons;
use crate::cluster::Status;

/// The header has whole seconds, and the answer takes its time.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);

/// From here on certificates and times of others cannot be trusted.
const CLOCK_BROKEN: Duration = Duration::from_secs(60);

/// Entries that a follower may be behind without a word about it.
const LAG: u64 = 1_000;

/// Looks at one node; its status, if it tells it.
pub(super) async fn check(remote: &Remote, report: &mut Report) -> Option<Status> {
    let subject = format!("node {}", remote.url());
    let answer = match remote.send(Call::get("/v1.0/cluster")).await {
        Ok(answer) => answer,
        Err(error) => {
            let mend = advice(&error);
            report.broken(&subject, &error.to_string(), mend);
            return None;
        }
    };
    let status: Status = match answer.read() {
        Ok(status) => status,
        Err(error) => {
            report.broken(&subject, &error.to_string(), "use the command of the version that the node has");
            return None;
        }
    };
    match remote.ask(Call::get("/readyz")).await.map(|answer| (answer.status(), answer.read::<Value>())) {
        Ok((200, _)) => report.fine(&subject, &format!("ready, version {}", status.version)),
        Ok((_, Ok(body))) => {
            let text = format!("not ready: {}", reasons(&body).join("; "));
            report.broken(&subject, &text, "clients should be sent to other nodes meanwhile; see its log");
        }
        Ok((code, Err(_))) => report.broken(&subject, &format!("/readyz answers {code}"), "is this a node?"),
        Err(error) => report.broken(&subject, &error.to_string(), advice(&error)),
    }
    if status.version != env!("CARGO_PKG_VERSION") {
        let text = format!("has version {}, this command has {}", status.version, env!("CARGO_PKG_VERSION"));
        report.doubtful(&subject, &text, "use the command of the same version");
    }
    check_clock(&subject, answer.header("date"), SystemTime::now(), report);
    check_cluster(&subject, &status, report);
    Some(status)
}

const fn advice(error: &RemoteError) -> &'static str {
    match error {
        RemoteError::Unreachable { .. } | RemoteError::Silent { .. } => {
            "start the node, or name another by --server; is a firewall in between?"
        }
        RemoteError::Refused { status: 401 | 429, .. } => {
            "give a token of AdminBearerTokens of its settings, or one that `PUT /v1.0/tokens` made"
        }
        RemoteError::Refused { status: 404, .. } => {
            "the admin API may be elsewhere: see Admin.Listen of its settings"
        }
        _ => "see the log of the node",
    }
}

fn check_clock(subject: &str, date: Option<&str>, here: SystemTime, report: &mut Report) {
    let Some(there) = date.and_then(|date| date.parse::<HttpDate>().ok()).map(SystemTime::from) else {
        return report.skip("clock", &format!("{subject} tells no time"));
    };
    let off = here.duration_since(there).unwrap_or_else(|error| error.duration());
    let text = format!("{subject} and this machine are {} s apart", off.as_secs());
    let mend = "let both follow a time server: `timedatectl set-ntp true`";
    match off {
        off if off >= CLOCK_BROKEN => report.broken("clock", &text, mend),
        off if off > CLOCK_TOLERANCE => report.doubtful("clock", &text, mend),
        _ => report.fine("clock", &format!("{subject} and this machine agree")),
    }
}

fn check_cluster(subject: &str, status: &Status, report: &mut Report) {
    if let Some(problem) = &status.problem {
        report.broken(subject, problem, "docs/cluster/operations.md tells what to do; the other nodes go on");
    }
    if !status.has_quorum {
        let text = "it finds no quorum: requests of clients go on, changes are refused";
        report.broken(
            subject,
            text,
            "start the missing nodes, or mend the network between them on Cluster.Listen",
        );
    }
    for member in status.members.iter().filter(|member| member.lag.is_some_and(|lag| lag > LAG)) {
        let text = format!("node {} is {} entries behind", member.node_id, member.lag.unwrap_or_default());
        report.doubtful(
            subject,
            &text,
            "it catches up by itself if it runs and its disk keeps up: look at it",
        );
    }
}

/// Whether the nodes are of one cluster and of one mind.
pub(super) fn compare(seen: &[Status], report: &mut Report) {
    let Some((first, others)) = seen.split_first().filter(|(_, others)| !others.is_empty()) else { return };
    let mut is_fine = true;
    for other in others {
        let id = other.node_id.map_or_else(|| "without an id".to_owned(), |id| id.to_string());
        if other.cluster_id != first.cluster_id {
            is_fine = false;
            report.broken(
                "cluster",
                &format!("node {id} is of another cluster"),
                "docs/cluster/operations.md: replacing a node",
            );
        } else if other.revision == first.revision && other.catalog_hash != first.catalog_hash {
            is_fine = false;
            let text = format!("node {id} has another state at revision {}", first.revision);
            report.broken("cluster", &text, "replace the node whose hash is alone, and report this");
        } else if other.leader != first.leader {
            is_fine = false;
            let text = format!("node {id} follows another leader");
            report.doubtful(
                "cluster",
                &text,
                "look again: there may have been an election between the two answers",
            );
        }
    }
    if is_fine {
        report.fine("cluster", &format!("{} nodes agree", seen.len()));
    }
}

/// Whether this machine reaches the other members, which their nodes must reach, too.
pub(super) fn check_peers(status: &Status, is_here: bool, report: &mut Report) {
    for member in status.members.iter().filter(|member| !member.is_self && !member.address.is_empty()) {
        let subject = format!("peer {}", member.node_id);
        let Some((host, port)) = member.address.rsplit_once(':') else { continue };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let reached =
            port.parse().map_err(|_| "it is no port".to_owned()).and_then(|port| connect(host, port));
        let address = &member.address;
        match (reached, is_here) {
            (Ok(_), _) => report.fine(&subject, &format!("{address} takes connections")),
            (Err(reason), true) => report.broken(
                &subject,
                &format!("{address} cannot be reached from this node: {reason}"),
                "start that node; or its Cluster.Advertise, a name or a firewall is wrong",
            ),
            // The nodes may have a network of their own.
            (Err(reason), false) => {
                report.skip(&subject, &format!("{address} cannot be reached from here: {reason}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::screen::Screen;

    use super::*;

    #[test]
    fn clocks_may_differ_by_a_little() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 + seconds);
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for (here, mark) in [(at(0), "ok"), (at(2), "ok"), (at(5), "warn"), (at(3_600), "FAIL")] {
            let mut report = Report::default();
            check_clock("node a", date, here, &mut report);
            let text = report.text(Screen::none());
            assert!(text.starts_with(mark), "{text}");
        }
        let mut report = Report::default();
        check_clock("node a", None, at(0), &mut report);
        assert!(report.text(Screen::none()).starts_with("skip"));
    }
}
