//! `ollamaflow doctor`: looks for what is wrong, and says how it is mended. Changes nothing.
//!
//! In: the settings on this machine, the nodes, the backends as this machine reaches them. Out: findings, the same for
//! people and for programs. A check that cannot be made is a finding too.

mod backends;
mod catalog;
mod machine;
mod nodes;
mod probe;
mod report;

use serde_json::json;

use self::report::Report;
use super::Verdict;
use super::client::{Page, Pen};
use super::remote::{Access, Remote, RemoteError};

/// What to look at beside the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doctor {
    /// URLs of other nodes of the cluster.
    pub nodes: Vec<String>,
}

/// Looks at everything; the verdict is good if nothing is broken.
pub(super) async fn run(access: Access, asked: &Doctor, pen: &mut Pen<'_>) -> Result<Verdict, RemoteError> {
    let mut report = Report::default();
    let is_here = access.names_no_server()?;
    machine::check_profile(&access.sources.environment, &mut report);
    if is_here {
        machine::check(access.sources.clone(), &mut report);
    } else {
        report.skip(
            "machine",
            "ports, disk and settings are looked at where the node runs: run doctor there too",
        );
    }
    match access.connect() {
        Ok(remote) => look(&remote, asked, is_here, &mut report).await,
        Err(error) => {
            report.broken("access", &error.to_string(), "give --server and --token, or see docs/cli.md");
        }
    }
    let json = json!({ "Healthy": !report.is_broken(), "Findings": report.json() });
    pen.page(&Page::new(report.text(pen.screen), json))?;
    Ok(if report.is_broken() { Verdict::Faulty } else { Verdict::Good })
}

async fn look(remote: &Remote, asked: &Doctor, is_here: bool, report: &mut Report) {
    let Some(first) = nodes::check(remote, report).await else { return };
    let mut seen = vec![first];
    for url in &asked.nodes {
        match remote.at(url) {
            Ok(other) => seen.extend(nodes::check(&other, report).await),
            Err(error) => report.broken(&format!("node {url}"), &error.to_string(), "correct --node"),
        }
    }
    nodes::compare(&seen, report);
    if let Some(status) = seen.first() {
        nodes::check_peers(status, is_here, report);
    }
    if let Err(error) = catalog::check(remote, is_here, report).await {
        report.broken("catalog", &error.to_string(), "mend what is said above, then look again");
    }
}
