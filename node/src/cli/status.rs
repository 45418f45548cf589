//! `ollamaflow status`: the node, its cluster, its backends and what is missing, on one page.

use serde_json::{Value, json};

use super::client::Page;
use super::objects::{Kind, render_backends};
use super::remote::{Call, Remote, RemoteError, printable};
use super::screen::{Screen, Tone, counted};
use super::wire::{Backend, Frontend, Models};
use crate::cluster::Status;

/// Asks the node for all of it.
pub(super) async fn page(remote: &Remote, screen: Screen) -> Result<Page, RemoteError> {
    let cluster = remote.send(Call::get("/v1.0/cluster")).await?;
    let backends = remote.send(Call::get(Kind::Backend.list_path())).await?;
    let frontends = remote.send(Call::get(Kind::Frontend.list_path())).await?;
    let models = remote.send(Call::get("/v1.0/models")).await?;
    let ready = remote.ask(Call::get("/readyz")).await?;
    let reasons: Vec<String> = match ready.read::<Value>() {
        // Where the admin API has an address of its own, the probe may be elsewhere.
        Ok(body) if ready.status() != 404 => reasons(&body),
        _ => Vec::new(),
    };
    let text = text(&Seen {
        url: remote.url(),
        cluster: cluster.read()?,
        backends: backends.read()?,
        frontends: frontends.read()?,
        models: models.read()?,
        reasons: &reasons,
        screen,
    });
    let json = json!({
        "Server": remote.url(),
        "Ready": reasons.is_empty(),
        "Reasons": reasons,
        "Cluster": cluster.read::<Value>()?,
        "Frontends": frontends.read::<Value>()?,
        "Backends": backends.read::<Value>()?,
    });
    Ok(Page::new(text, json))
}

/// All that is shown.
struct Seen<'a> {
    url: &'a str,
    cluster: Status,
    backends: Vec<Backend>,
    frontends: Vec<Frontend>,
    models: Models,
    reasons: &'a [String],
    screen: Screen,
}

/// Why the node is not ready; nothing if it is.
pub(super) fn reasons(body: &Value) -> Vec<String> {
    if body["Ready"] == true {
        return Vec::new();
    }
    let reasons = body["Reasons"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let reasons: Vec<String> = reasons.map(printable).collect();
    if reasons.is_empty() { vec!["it does not say why".to_owned()] } else { reasons }
}

fn text(seen: &Seen<'_>) -> String {
    let (screen, cluster) = (seen.screen, &seen.cluster);
    let ready = match seen.reasons {
        [] => screen.paint(Tone::Good, "ready"),
        reasons => screen.paint(Tone::Bad, &format!("not ready: {}", reasons.join("; "))),
    };
    let id = cluster.node_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let leader = cluster.leader.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let quorum = if cluster.has_quorum {
        screen.paint(Tone::Good, "quorum")
    } else {
        screen.paint(Tone::Bad, "no quorum: writes wait for more nodes, requests go on")
    };
    let probed = seen.backends.iter().filter(|backend| backend.is_probed()).count();
    let healthy = seen.backends.iter().filter(|backend| backend.is_healthy()).count();
    let tone = if healthy == probed { Tone::Good } else { Tone::Bad };
    let health = screen.paint(tone, &format!("{healthy} of {probed} healthy"));
    let off = match seen.backends.len() - probed {
        0 => String::new(),
        off => format!(", {off} off"),
    };
    let active = seen.frontends.iter().filter(|frontend| frontend.active).count();
    let places = seen.models.models.iter().flat_map(|model| &model.backends);
    let wrong = places.filter(|place| place.reason.is_some()).count();
    let models = match wrong {
        0 => seen.models.models.len().to_string(),
        wrong => {
            let told = format!("{wrong} not as wanted (`models list` tells why)");
            format!("{}, {}", seen.models.models.len(), screen.paint(Tone::Doubtful, &told))
        }
    };
    let mut lines = vec![
        format!("node       {id} at {}, version {}, {ready}", seen.url, printable(&cluster.version)),
        format!(
            "cluster    {}, node {leader} leads, {quorum}, revision {}",
            counted(cluster.members.len().max(1), "node"),
            cluster.revision
        ),
        format!("frontends  {active} of {} active", seen.frontends.len()),
        format!("backends   {health}{off}"),
        format!("models     {models}"),
    ];
    if let Some(problem) = &cluster.problem {
        lines.push(format!("problem    {}", screen.paint(Tone::Bad, &printable(problem))));
    }
    lines.push(String::new());
    lines.push(render_backends(seen.backends.clone(), screen));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        assert_eq!(reasons(&json!({ "Ready": true, "Reasons": [] })), Vec::<String>::new());
        assert_eq!(reasons(&json!({ "Ready": false, "Reasons": ["stopping"] })), ["stopping"]);
        assert_eq!(reasons(&json!(null)), ["it does not say why"]);
    }
}
