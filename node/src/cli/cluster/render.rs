//! The cluster in lines and columns, for people.

use ollamaflow_protocol::cluster::NodeId;

use crate::cli::remote::printable;
use crate::cli::screen::Screen;
use crate::cli::table::{Cell, Table};
use crate::cluster::{MemberStatus, Role, Status};

/// The node, what it has applied, and the members.
pub(super) fn status(status: &Status, screen: Screen) -> String {
    let missing = || "none".to_owned();
    let named = |id: Option<NodeId>| id.map_or_else(missing, |id| name(id, &status.members));
    let node = match (status.node_id, &status.address) {
        (Some(id), Some(address)) => format!("{id} ({})", printable(address)),
        (id, _) => named(id),
    };
    let quorum = match (status.has_quorum, status.quorum_ack_millis) {
        (false, _) => "no: writes wait for more nodes, reads and proxying go on".to_owned(),
        (true, Some(millis)) if status.role == Role::Leader => format!("yes, confirmed {millis} ms ago"),
        (true, _) => "yes".to_owned(),
    };
    let mut lines = vec![
        ("cluster", status.cluster_id.as_ref().map_or_else(missing, ToString::to_string)),
        ("node", format!("{node}, {}", role(status.role))),
        ("leader", named(status.leader)),
        ("quorum", quorum),
        ("term", status.term.to_string()),
        ("revision", format!("{} (catalog {})", status.revision, status.catalog_revision)),
        ("hash", printable(&status.catalog_hash)),
        (
            "log",
            format!(
                "last entry {}, applied {}, snapshot {}",
                status.last_log_index, status.applied_index, status.snapshot_index
            ),
        ),
        ("version", printable(&status.version)),
    ];
    if let Some(problem) = &status.problem {
        lines.push(("problem", printable(problem)));
    }
    let mut lines: Vec<String> =
        lines.into_iter().map(|(label, value)| format!("{label:<9} {value}")).collect();
    lines.push(String::new());
    lines.push(members(&status.members, screen));
    lines.join("\n")
}

/// A table of the members; the last line has no line break.
pub(super) fn members(members: &[MemberStatus], screen: Screen) -> String {
    let mut table = Table::new(&["NODE", "ADDRESS", "ROLE", "LAG"]);
    for member in members {
        let role = match (member.is_leader, member.is_voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        let lag = member.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        let own = if member.is_self { " *" } else { "" };
        table.row(vec![
            Cell::text(&format!("{}{own}", member.node_id)),
            Cell::text(&member.address),
            Cell::text(role),
            Cell::text(&lag),
        ]);
    }
    let mut text = table.draw(screen);
    if members.iter().any(|member| member.is_self) {
        text.push_str("\n* the node that answers");
    }
    text
}

/// A node by its id and, if it is a member, its address.
fn name(id: NodeId, members: &[MemberStatus]) -> String {
    match members.iter().find(|member| member.node_id == id && !member.address.is_empty()) {
        Some(member) => format!("{id} ({})", printable(&member.address)),
        None => id.to_string(),
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Forming => "waits for a cluster",
        Role::Leader => "leads",
        Role::Follower => "follows",
        Role::Candidate => "stands for election",
        Role::Learner => "follows without a vote",
        Role::Removed => "was removed",
        Role::Failed => "stepped aside",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node_id: NodeId, address: &str) -> MemberStatus {
        MemberStatus {
            node_id,
            address: address.to_owned(),
            is_voter: true,
            is_leader: false,
            is_self: false,
            lag: None,
        }
    }

    fn three() -> Vec<MemberStatus> {
        vec![
            MemberStatus { is_leader: true, lag: Some(0), ..member(1, "node1:43412") },
            MemberStatus { is_self: true, ..member(12, "a-longer-name:43412") },
            MemberStatus { is_voter: false, lag: Some(7), ..member(3, "node3:43412") },
        ]
    }

    fn healthy() -> Status {
        Status {
            cluster_id: Some("c1".parse().unwrap()),
            node_id: Some(12),
            address: Some("a-longer-name:43412".to_owned()),
            role: Role::Follower,
            problem: None,
            leader: Some(1),
            term: 4,
            revision: 9,
            catalog_revision: 8,
            catalog_hash: "abc".to_owned(),
            last_log_index: 120,
            applied_index: 119,
            snapshot_index: 100,
            has_quorum: true,
            quorum_ack_millis: None,
            version: "0.1.0".to_owned(),
            members: three(),
        }
    }

    #[test]
    fn members_stand_in_columns() {
        assert_eq!(
            members(&three(), Screen::none()),
            "NODE  ADDRESS              ROLE     LAG\n\
             1     node1:43412          leader   0\n\
             12 *  a-longer-name:43412  voter    -\n\
             3     node3:43412          learner  7\n\
             * the node that answers"
        );
        assert_eq!(members(&[], Screen::none()), "NODE  ADDRESS  ROLE  LAG");
    }

    #[test]
    fn the_status_of_a_follower_names_the_leader() {
        let text = status(&healthy(), Screen::none());
        let start = "cluster   c1\n\
                     node      12 (a-longer-name:43412), follows\n\
                     leader    1 (node1:43412)\n\
                     quorum    yes\n\
                     term      4\n\
                     revision  9 (catalog 8)\n\
                     hash      abc\n\
                     log       last entry 120, applied 119, snapshot 100\n\
                     version   0.1.0\n\n\
                     NODE  ADDRESS";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let lost = Status {
            cluster_id: None,
            node_id: None,
            address: None,
            leader: None,
            role: Role::Forming,
            has_quorum: false,
            problem: Some("waits for\u{1b}[31m node2".to_owned()),
            members: Vec::new(),
            ..healthy()
        };
        let text = status(&lost, Screen::none());
        for line in [
            "cluster   none",
            "node      none, waits for a cluster",
            "leader    none",
            "quorum    no: writes wait for more nodes, reads and proxying go on",
            "problem   waits for [31m node2",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        let leader = Status { role: Role::Leader, quorum_ack_millis: Some(12), ..healthy() };
        assert!(status(&leader, Screen::none()).contains("quorum    yes, confirmed 12 ms ago"));
    }
}
