//! This machine: the settings of the node on it, its ports, its disk.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::report::Report;
use crate::cli::models::size;
use crate::cli::remote::profile_path;
use crate::settings::{self, ListenHost, ListenTarget, Loaded, Sources};

/// Longest wait for a connection on this machine or in its network.
const CONNECT: Duration = Duration::from_secs(2);

/// Less free space than this is too little for a snapshot of any size.
const BROKEN_BYTES: u64 = 100 * 1024 * 1024;

/// Less than this is to be looked at before it is too late.
const DOUBTFUL_BYTES: u64 = 1024 * 1024 * 1024;

/// The user's own file has a token in it.
pub(super) fn check_profile(environment: &[(OsString, OsString)], report: &mut Report) {
    if let Some(path) = profile_path(environment).filter(|path| path.is_file()) {
        check_private("own file", &path, report);
    }
}

/// Settings, ports and disk of the node that these settings describe.
pub(super) fn check(sources: Sources, report: &mut Report) {
    let file = sources.file.clone();
    let loaded = match settings::load_for_client(sources) {
        Ok(loaded) => loaded,
        Err(error) => {
            for line in error.lines() {
                report.broken(
                    "settings",
                    &line,
                    "correct the file; `ollamaflow config check FILE` looks at it alone",
                );
            }
            return;
        }
    };
    if file.is_file() {
        let notices = loaded.notices.len();
        let of = if notices == 0 { String::new() } else { format!(", {notices} notes in `config show`") };
        report.fine("settings", &format!("{} is valid{of}", file.display()));
        check_private("settings", &file, report);
    } else {
        report.skip("settings", &format!("there is no {}: defaults are looked at", file.display()));
    }
    check_ports(&loaded, report);
    check_disk(Path::new(&loaded.settings.data_directory), report);
}

/// Whether others can read a file with secrets in it.
fn check_private(subject: &str, path: &Path, report: &mut Report) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).map(|data| data.permissions().mode() & 0o777).unwrap_or_default();
        if mode & 0o077 != 0 {
            let name = path.display();
            let text = format!("{name} has tokens in it and others can read or write it (mode {mode:o})");
            report.doubtful(subject, &text, &format!("chmod 600 {name}"));
        }
    }
    #[cfg(not(unix))]
    let _ = (subject, path, report);
}

fn check_ports(loaded: &Loaded, report: &mut Report) {
    let settings = &loaded.settings;
    check_port("port of clients", &settings.webserver.listen_target(), "Webserver.Port", report);
    if let Some(target) = settings.admin.listen_target() {
        check_port("port of admins", &target, "Admin.Listen", report);
    }
    if let Some(target) = &loaded.cluster.listen {
        check_port("port of nodes", target, "Cluster.Listen", report);
    }
}

fn check_port(subject: &str, target: &ListenTarget, setting: &str, report: &mut Report) {
    if target.port == 0 {
        return report.skip(subject, &format!("{setting} leaves the port to the system"));
    }
    let host = match &target.host {
        ListenHost::Name(name) => name.clone(),
        ListenHost::All => "127.0.0.1".to_owned(),
    };
    match connect(&host, target.port) {
        Ok(address) => report.fine(subject, &format!("something listens on {address}")),
        Err(reason) => report.broken(
            subject,
            &format!("nobody answers on {target} ({reason})"),
            &format!(
                "start the node (`ollamaflow serve`) and see its first lines; {setting} is another port"
            ),
        ),
    }
}

/// Connects to the first address that takes it.
pub(super) fn connect(host: &str, port: u16) -> Result<SocketAddr, String> {
    let addresses =
        (host, port).to_socket_addrs().map_err(|error| format!("{host} has no address: {error}"))?;
    let mut reason = format!("{host} has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => return Ok(address),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

fn check_disk(directory: &Path, report: &mut Report) {
    let Some(existing) = existing(directory) else {
        return report.skip("disk", &format!("{} cannot be looked at", directory.display()));
    };
    let free = match rustix::fs::statvfs(&existing) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => {
            return report.skip("disk", &format!("{} cannot be looked at: {error}", existing.display()));
        }
    };
    let text = format!("{} free for {}", size(free), directory.display());
    let mend = "make room, or move DataDirectory: a node whose disk is full steps aside";
    match free {
        ..BROKEN_BYTES => report.broken("disk", &text, mend),
        BROKEN_BYTES..DOUBTFUL_BYTES => report.doubtful("disk", &text, mend),
        _ => report.fine("disk", &text),
    }
    if rustix::fs::access(&existing, rustix::fs::Access::WRITE_OK).is_err() {
        let text = format!("{} cannot be written by this user", existing.display());
        report.doubtful(
            "disk",
            &text,
            "give the directory to the user that runs the node, or run doctor as that user",
        );
    }
}

/// The directory, or the nearest one above it that there is.
fn existing(directory: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(directory).ok()?;
    whole.ancestors().find(|path| path.is_dir()).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use crate::cli::screen::Screen;

    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_the_one_above() {
        let directory = tempfile::tempdir().unwrap();
        let later = directory.path().join("a/b");
        assert_eq!(existing(&later).as_deref(), Some(directory.path()));
        let mut report = Report::default();
        check_disk(&later, &mut report);
        assert!(report.text(Screen::none()).contains("free for"));
    }

    #[test]
    fn a_port_is_open_or_says_why_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(connect("127.0.0.1", address.port()), Ok(address));
        drop(listener);
        assert!(connect("127.0.0.1", address.port()).unwrap_err().contains("refused"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_told() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        std::fs::write(&file, "").unwrap();
        for (mode, told) in [(0o600, false), (0o640, true), (0o644, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let mut report = Report::default();
            check_private("settings", &file, &mut report);
            assert_eq!(report.text(Screen::none()).contains("chmod 600"), told, "{mode:o}");
        }
    }
}
