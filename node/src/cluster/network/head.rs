//! The head of a request: who asks whom, the proof's freshness, and what the body must be.

use std::fmt;

use ollamaflow_protocol::cluster::NodeId;
use ollamaflow_protocol::id::ClusterId;

use super::seal::Digest;

/// The header that carries the head's text.
pub(super) const HEAD: &str = "x-ollamaflow-peer";

/// The header that carries the seal, of requests and answers.
pub(super) const SEAL: &str = "x-ollamaflow-seal";

/// Stands for no cluster: no cluster can have this name.
const NO_CLUSTER: &str = "*";

/// Means one process, or one of its pasts. 0 means that it is not known.
pub(super) type Run = u128;

/// The head of a request. Its text, separated by single blanks, is under the seal; so it is parsed after that is
/// verified, and without suspicion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// The caller's cluster.
    pub(super) cluster: Option<ClusterId>,
    /// The caller.
    pub(super) from: Option<NodeId>,
    /// Whom the caller means.
    pub(super) to: Option<NodeId>,
    /// The run to which the counter belongs.
    pub(super) sender: Run,
    /// The run of the receiver that the caller means; 0 if it knows none.
    pub(super) receiver: Run,
    /// Never twice in a sender's run, and never 0.
    pub(super) counter: u64,
    /// Length of the body, in bytes.
    pub(super) length: u64,
    /// SHA-256 of the body.
    pub(super) digest: Digest,
}

// === impl Head ===

impl Head {
    /// The head of a text that [`fmt::Display`] wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        let cluster = match fields.next()? {
            NO_CLUSTER => None,
            name => Some(name.parse().ok()?),
        };
        let from = node(fields.next()?.parse().ok()?);
        let to = node(fields.next()?.parse().ok()?);
        let sender = parse_run(fields.next()?)?;
        let receiver = parse_run(fields.next()?)?;
        let counter = fields.next()?.parse().ok()?;
        let length = fields.next()?.parse().ok()?;
        let digest = Digest::from_hex(fields.next()?)?;
        fields.next().is_none().then_some(Self {
            cluster,
            from,
            to,
            sender,
            receiver,
            counter,
            length,
            digest,
        })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} {} {:032x} {:032x} {} {} {}",
            self.cluster.as_ref().map_or(NO_CLUSTER, ClusterId::as_str),
            self.from.unwrap_or(0),
            self.to.unwrap_or(0),
            self.sender,
            self.receiver,
            self.counter,
            self.length,
            self.digest.to_hex(),
        )
    }
}

/// The text of a run.
pub(super) fn format_run(run: Run) -> String {
    format!("{run:032x}")
}

/// The run of a text.
pub(super) fn parse_run(text: &str) -> Option<Run> {
    Run::from_str_radix(text, 16).ok()
}

/// The node of a number; 0 means none.
fn node(id: NodeId) -> Option<NodeId> {
    (id != 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::super::seal::Digesting;
    use super::*;

    #[test]
    fn a_text_is_the_head_again_and_nothing_less_is() {
        let mut head = Head {
            cluster: Some("home".parse().unwrap()),
            from: Some(1),
            to: Some(2),
            sender: Run::MAX,
            receiver: 0,
            counter: 7,
            length: 0,
            digest: Digesting::new().finish(),
        };
        assert_eq!(Head::parse(&head.to_string()).unwrap(), head);
        (head.cluster, head.from, head.to) = (None, None, None);
        let text = head.to_string();
        assert_eq!(Head::parse(&text).unwrap(), head);
        assert_eq!(Head::parse(&format!("{text} 1")), None);
        assert_eq!(Head::parse(&text[..text.len() - 2]), None);
        assert_eq!(Head::parse(""), None);
    }
}
