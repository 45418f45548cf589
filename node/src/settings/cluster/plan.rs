//! From the section to a plan: defaults that depend on each other, and the rules.
//!
//! In: the section, and the file of the secret. Out: a [`ClusterPlan`], or every rule that is broken, with its place.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ollamaflow_protocol::object::{JsonPath, ObjectError, Secret};

use super::address::{ClusterAddress, Parts};
use super::{ClusterSettings, DEFAULT_CLUSTER_PORT};
use crate::settings::{ListenHost, ListenTarget};

/// Least length of the secret, in characters: it is all that a stranger has to guess.
const MIN_SECRET_LENGTH: usize = 16;

/// Longest secret, in bytes.
const MAX_SECRET_LENGTH: usize = 4096;

/// Most nodes of a cluster at its birth.
const MAX_PEERS: usize = 64;

/// Least ratio of the election time-out to the heartbeat: two signs of life may get lost.
const MIN_ELECTION_RATIO: u32 = 3;

/// The word for `Join` that waits for an invitation.
const INVITE: &str = "invite";

/// How this node takes part in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPlan {
    /// Where to listen for other nodes; none for a node that stays alone.
    pub listen: Option<ListenTarget>,
    /// `HOST:PORT` under which others reach this node. Set whenever `listen` is.
    pub advertise: Option<String>,
    /// What to do on the first start. A node that has a cluster on its disk goes on with that.
    pub start: ClusterStart,
    /// What the nodes of the cluster share. Set whenever `listen` is.
    pub secret: Option<Secret>,
    /// How quickly a dead leader is noticed.
    pub timing: ClusterTiming,
    /// Mutual TLS between nodes; none for plain HTTP.
    pub tls: Option<ClusterTls>,
}

/// What a node without a cluster does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterStart {
    /// It makes a cluster of one.
    Alone,
    /// It makes a cluster together with these, among them itself. Sorted: the order in the settings means nothing.
    Peers(Vec<String>),
    /// It asks this member to be let in.
    Join(String),
    /// It waits until a member adds it.
    Invited,
}

/// How quickly a dead leader is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterTiming {
    /// Time between two signs of life of the leader.
    pub heartbeat: Duration,
    /// Shortest silence after which a node stands for election.
    pub election_min: Duration,
    /// Longest such silence.
    pub election_max: Duration,
}

/// The files of mutual TLS, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterTls {
    /// The certificate chain of this node.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// The authorities that may have signed the certificates of other nodes.
    pub ca_file: PathBuf,
}

// === ClusterPlan ===

impl Default for ClusterPlan {
    /// A cluster of one, without a listener.
    fn default() -> Self {
        Self {
            listen: None,
            advertise: None,
            start: ClusterStart::Alone,
            secret: None,
            timing: ClusterTiming::of(&ClusterSettings::default()),
            tls: None,
        }
    }
}

// === ClusterTiming ===

impl ClusterTiming {
    fn of(settings: &ClusterSettings) -> Self {
        let millis = |millis: u32| Duration::from_millis(millis.into());
        Self {
            heartbeat: millis(settings.heartbeat_ms),
            election_min: millis(settings.election_min_ms),
            election_max: millis(settings.election_max_ms),
        }
    }
}

// === ClusterSettings ===

impl ClusterSettings {
    /// What follows from the section, or every rule that it breaks. Reads `SecretFile`.
    pub fn plan(&self) -> Result<ClusterPlan, Vec<ObjectError>> {
        let mut rules = Rules::default();
        let peers = rules.peers(&self.peers);
        let join = rules.join(given(self.join.as_deref()));
        if !self.peers.is_empty() && join != Join::Absent {
            rules.broken("Join", "must not be set together with Peers: a node forms a cluster or joins one");
        }
        let listens =
            given(self.listen.as_deref()).is_some() || !self.peers.is_empty() || join != Join::Absent;
        let listen = rules.listen(given(self.listen.as_deref()), listens);
        let advertise = rules.advertise(self, listen.as_ref());
        if advertise.is_some() && !listens {
            rules.broken("Advertise", "must not be set alone: nothing listens without Listen, Peers or Join");
        }
        let all_peers = peers.len() == self.peers.len();
        match (&advertise, &join) {
            (Some(own), _) if all_peers && !peers.is_empty() && !peers.contains(own) => {
                rules.broken("Advertise", format!("must be one of Peers, but {own} is not"));
            }
            (Some(own), Join::Member(member)) if own == member => {
                rules.broken("Join", format!("must name another node, but {member} is this one"));
            }
            _ => {}
        }
        let secret = rules.secret(self, listens);
        rules.timing(self);
        let tls = rules.tls(self, listens);

        let start = match join {
            Join::Member(member) => ClusterStart::Join(member.to_string()),
            Join::Invited => ClusterStart::Invited,
            Join::Absent | Join::Faulty if peers.is_empty() => ClusterStart::Alone,
            Join::Absent | Join::Faulty => {
                let mut peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
                peers.sort_unstable();
                ClusterStart::Peers(peers)
            }
        };
        let advertise = advertise.map(|address| address.to_string());
        let plan = ClusterPlan { listen, advertise, start, secret, timing: ClusterTiming::of(self), tls };
        if rules.errors.is_empty() { Ok(plan) } else { Err(rules.errors) }
    }
}

// === Rules ===

/// The value of `Join`.
#[derive(PartialEq, Eq)]
enum Join {
    Absent,
    Invited,
    Member(ClusterAddress),
    /// Reported already.
    Faulty,
}

/// The rules that were broken so far.
#[derive(Default)]
struct Rules {
    errors: Vec<ObjectError>,
}

impl Rules {
    fn broken(&mut self, setting: &str, reason: impl Into<String>) {
        self.errors.push(ObjectError::new(place(setting), reason));
    }

    fn peers(&mut self, texts: &[String]) -> Vec<ClusterAddress> {
        if texts.len() > MAX_PEERS {
            self.broken("Peers", format!("must have at most {MAX_PEERS} entries, but has {}", texts.len()));
            return Vec::new();
        }
        let mut peers: Vec<ClusterAddress> = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match text.parse::<ClusterAddress>() {
                Ok(peer) if peers.contains(&peer) => {
                    let reason = format!("must not repeat {peer}");
                    self.errors.push(ObjectError::new(place("Peers").item(index), reason));
                }
                Ok(peer) => peers.push(peer),
                Err(error) => {
                    let reason = format!("{error}, but is {text:?}");
                    self.errors.push(ObjectError::new(place("Peers").item(index), reason));
                }
            }
        }
        peers
    }

    fn join(&mut self, text: Option<&str>) -> Join {
        match text {
            None => Join::Absent,
            Some(text) if text.eq_ignore_ascii_case(INVITE) => Join::Invited,
            Some(text) => self.address("Join", text).map_or(Join::Faulty, Join::Member),
        }
    }

    fn listen(&mut self, text: Option<&str>, listens: bool) -> Option<ListenTarget> {
        let Some(text) = text else {
            return listens.then_some(ListenTarget { host: ListenHost::All, port: DEFAULT_CLUSTER_PORT });
        };
        match Parts::of(text) {
            Ok(Parts { host, port }) => Some(ListenTarget::new(&host, port)),
            Err(error) => {
                self.broken("Listen", format!("{error}, but is {text:?}"));
                None
            }
        }
    }

    fn advertise(
        &mut self,
        settings: &ClusterSettings,
        listen: Option<&ListenTarget>,
    ) -> Option<ClusterAddress> {
        if let Some(text) = given(settings.advertise.as_deref()) {
            return self.address("Advertise", text);
        }
        let reason = match listen {
            None => return None,
            // Not guessed: a node that takes itself for another one would harm the cluster.
            Some(_) if !settings.peers.is_empty() => "must be set with Peers: which of them this node is",
            Some(target) if matches!(target.host, ListenHost::Name(_)) && target.port != 0 => {
                return self.address("Listen", &target.to_string());
            }
            Some(_) => {
                "must be set, since Listen does not tell: the HOST:PORT under which the other nodes reach this one"
            }
        };
        self.broken("Advertise", reason);
        None
    }

    fn address(&mut self, setting: &str, text: &str) -> Option<ClusterAddress> {
        let address = text.parse().map_err(|error| format!("{error}, but is {text:?}"));
        address.map_err(|reason| self.broken(setting, reason)).ok()
    }

    fn secret(&mut self, settings: &ClusterSettings, is_needed: bool) -> Option<Secret> {
        let inline = settings.secret.as_ref().filter(|secret| !secret.expose().is_empty());
        let (setting, secret) = match (inline, given(settings.secret_file.as_deref())) {
            (Some(_), Some(_)) => {
                self.broken("SecretFile", "must not be set together with Secret");
                return None;
            }
            (None, None) => {
                if is_needed {
                    self.broken("Secret", "must be set (or SecretFile): nodes let in only who knows it");
                }
                return None;
            }
            (Some(secret), None) => ("Secret", secret.clone()),
            (None, Some(file)) => match read_secret(Path::new(file)) {
                Ok(secret) => ("SecretFile", secret),
                Err(error) => {
                    self.broken(
                        "SecretFile",
                        format!("must name a readable file, but {file:?} is not: {error}"),
                    );
                    return None;
                }
            },
        };
        // The length of a secret that is too short is not told.
        if secret.expose().chars().count() < MIN_SECRET_LENGTH {
            self.broken(setting, format!("must have at least {MIN_SECRET_LENGTH} characters"));
        } else if secret.expose().len() > MAX_SECRET_LENGTH {
            self.broken(setting, format!("must have at most {MAX_SECRET_LENGTH} bytes"));
        }
        Some(secret)
    }

    fn timing(&mut self, settings: &ClusterSettings) {
        let ClusterSettings { heartbeat_ms, election_min_ms, election_max_ms, .. } = *settings;
        let least = heartbeat_ms * MIN_ELECTION_RATIO;
        if election_min_ms < least {
            let reason = format!(
                "must be at least {MIN_ELECTION_RATIO} times HeartbeatMs, that is {least}, but is {election_min_ms}"
            );
            self.broken("ElectionMinMs", reason);
        }
        if election_min_ms >= election_max_ms {
            let reason = format!(
                "must be more than ElectionMinMs, that is {election_min_ms}, but is {election_max_ms}"
            );
            self.broken("ElectionMaxMs", reason);
        }
    }

    fn tls(&mut self, settings: &ClusterSettings, listens: bool) -> Option<ClusterTls> {
        let files = [
            ("CertificateFile", given(settings.tls.certificate_file.as_deref())),
            ("KeyFile", given(settings.tls.key_file.as_deref())),
            ("CaFile", given(settings.tls.ca_file.as_deref())),
        ];
        if let [(_, Some(certificate)), (_, Some(key)), (_, Some(ca))] = files {
            if !listens {
                self.broken(
                    "Tls.CertificateFile",
                    "must not be set alone: nothing listens without Listen, Peers or Join",
                );
            }
            return Some(ClusterTls {
                certificate_file: certificate.into(),
                key_file: key.into(),
                ca_file: ca.into(),
            });
        }
        if files.iter().any(|(_, file)| file.is_some()) {
            for (name, _) in files.iter().filter(|(_, file)| file.is_none()) {
                let reason = "must be set too: TLS between nodes takes CertificateFile, KeyFile and CaFile";
                self.broken(&format!("Tls.{name}"), reason);
            }
        }
        None
    }
}

// === helpers ===

fn place(setting: &str) -> JsonPath {
    setting.split('.').fold(JsonPath::root().property("Cluster"), |path, name| path.property(name))
}

/// A text that says something.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn read_secret(path: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    // Room for a line break; one more byte tells a file that is too long, which the caller refuses.
    File::open(path)?.take(MAX_SECRET_LENGTH as u64 + 3).read_to_string(&mut text)?;
    let secret =
        text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Secret::new(secret))
}
