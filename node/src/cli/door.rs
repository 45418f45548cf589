//! Through which host name a frontend is reached: the host name of a request chooses the frontend.

use super::objects::Kind;
use super::remote::{Call, Remote, RemoteError, printable};
use super::wire::Frontend;

/// What is put before a suffix, and the name that no frontend but one for any host has.
const STRANGER: &str = "ollamaflow-cli";

/// A frontend and the way in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) frontend: Frontend,
    /// The value of the `Host` header.
    pub(super) host: String,
}

/// The frontend of that name; without a name, the only one that there is.
pub(super) async fn find(remote: &Remote, named: Option<&str>) -> Result<Door, RemoteError> {
    let all: Vec<Frontend> = remote.send(Call::get(Kind::Frontend.list_path())).await?.read()?;
    let authority = remote.client_url().split_once("://").map_or("", |(_, authority)| authority);
    choose(&all, named, authority)
}

fn choose(all: &[Frontend], named: Option<&str>, authority: &str) -> Result<Door, RemoteError> {
    let mut active: Vec<&str> =
        all.iter().filter(|known| known.active).map(|known| known.identifier.as_str()).collect();
    active.sort_unstable();
    let listed = printable(&active.join(", "));
    let frontend = match named {
        Some(named) => all.iter().find(|known| known.identifier == named).ok_or_else(|| {
            RemoteError::Missing(format!("there is no frontend {named:?}: it must be one of {listed}"))
        })?,
        None => match all.iter().filter(|known| known.active).collect::<Vec<_>>()[..] {
            [only] => only,
            [] => return Err(RemoteError::Missing("there is no active frontend".to_owned())),
            _ => return Err(RemoteError::Failed(format!("name a frontend by --frontend: {listed}"))),
        },
    };
    if !frontend.active {
        let id = &frontend.identifier;
        return Err(RemoteError::Failed(format!(
            "frontend {id} is off: `ollamaflow frontends enable {id}` lets requests in"
        )));
    }
    let host = host(frontend, all, authority);
    Ok(Door { host, frontend: frontend.clone() })
}

/// A host name that leads to the frontend: the exact one goes before the longest suffix, and that before any.
fn host(frontend: &Frontend, all: &[Frontend], authority: &str) -> String {
    let pattern = frontend.hostname.to_ascii_lowercase();
    if pattern != "*" {
        return match pattern.strip_prefix("*.") {
            Some(suffix) => format!("{STRANGER}.{suffix}"),
            None => pattern,
        };
    }
    let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name).to_ascii_lowercase();
    let is_taken = all.iter().any(|other| {
        let pattern = other.hostname.to_ascii_lowercase();
        let fits = pattern.strip_prefix('*').map_or(pattern == name, |suffix| name.ends_with(suffix));
        other.active && pattern != "*" && fits
    });
    if is_taken { format!("{STRANGER}.invalid") } else { authority.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontend(identifier: &str, hostname: &str) -> Frontend {
        Frontend {
            identifier: identifier.to_owned(),
            hostname: hostname.to_owned(),
            active: true,
            ..Frontend::default()
        }
    }

    fn chosen(all: &[Frontend], named: Option<&str>) -> Result<(String, String), String> {
        let door = choose(all, named, "node1:43411").map_err(|error| error.to_string())?;
        Ok((door.frontend.identifier, door.host))
    }

    fn pair(one: &str, other: &str) -> (String, String) {
        (one.to_owned(), other.to_owned())
    }

    #[test]
    fn the_only_frontend_needs_no_name() {
        let off = Frontend { active: false, ..frontend("off", "x") };
        let all = [frontend("f", "*"), off];
        assert_eq!(chosen(&all, None), Ok(pair("f", "node1:43411")));
        assert!(chosen(&all, Some("off")).unwrap_err().contains("frontends enable off"));
        assert!(chosen(&all, Some("g")).unwrap_err().contains("must be one of f"));
        assert!(chosen(&[], None).is_err());
        let two = [frontend("f", "*"), frontend("a", "x")];
        assert_eq!(chosen(&two, None).unwrap_err(), "name a frontend by --frontend: a, f");
    }

    #[test]
    fn a_frontend_is_reached_by_its_own_host_name() {
        let all = [frontend("any", "*"), frontend("exact", "LLM.lan"), frontend("suffix", "*.lab.lan")];
        assert_eq!(chosen(&all, Some("any")), Ok(pair("any", "node1:43411")));
        assert_eq!(chosen(&all, Some("exact")), Ok(pair("exact", "llm.lan")));
        assert_eq!(chosen(&all, Some("suffix")), Ok(pair("suffix", "ollamaflow-cli.lab.lan")));
    }

    #[test]
    fn the_one_for_any_host_is_not_mistaken_for_the_one_of_this_host() {
        for taken in ["node1", "*.lan"] {
            let all = [frontend("any", "*"), frontend("own", taken)];
            let authority = if taken == "node1" { "node1:1" } else { "node1.lan" };
            let door = choose(&all, Some("any"), authority).unwrap();
            assert_eq!(door.host, "ollamaflow-cli.invalid");
        }
    }
}
