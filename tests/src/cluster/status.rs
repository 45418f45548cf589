//! What a node tells about its cluster.

use serde_json::Value;

/// What all nodes have agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// The revision of all.
    pub revision: u64,
    /// The hash of all.
    pub hash: String,
    /// The id of the leader that all follow.
    pub leader: u64,
    /// The cluster that all belong to.
    pub cluster_id: String,
}

/// The JSON of `GET /v1.0/cluster`.
#[derive(Debug, Clone, PartialEq)]
pub struct Status(pub(super) Value);

impl Status {
    /// A property of the JSON.
    pub fn get(&self, property: &str) -> &Value {
        &self.0[property]
    }

    /// What the node does in the cluster.
    pub fn role(&self) -> &str {
        self.0["Role"].as_str().unwrap_or_default()
    }

    /// The id of the node that gave it.
    pub fn node_id(&self) -> Option<u64> {
        self.0["NodeId"].as_u64()
    }

    /// The id of the leader that it follows.
    pub fn leader(&self) -> Option<u64> {
        self.0["Leader"].as_u64()
    }

    /// The revision that it has applied.
    pub fn revision(&self) -> u64 {
        self.0["Revision"].as_u64().unwrap_or_default()
    }

    /// The term of the consensus.
    pub fn term(&self) -> u64 {
        self.0["Term"].as_u64().unwrap_or_default()
    }

    /// The ids of the voting members.
    pub fn voters(&self) -> Vec<u64> {
        self.members(|member| member["IsVoter"] == true)
    }

    /// The ids of all members.
    pub fn member_ids(&self) -> Vec<u64> {
        self.members(|_| true)
    }

    fn members(&self, wanted: impl Fn(&Value) -> bool) -> Vec<u64> {
        let members = self.0["Members"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut ids: Vec<_> = members
            .iter()
            .filter(|member| wanted(member))
            .filter_map(|member| member["NodeId"].as_u64())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// What it has agreed to; none while it follows nobody.
    pub(super) fn agreement(&self) -> Option<Agreement> {
        Some(Agreement {
            revision: self.0["Revision"].as_u64()?,
            hash: self.0["CatalogHash"].as_str()?.to_owned(),
            leader: self.leader()?,
            cluster_id: self.0["ClusterId"].as_str()?.to_owned(),
        })
    }
}
