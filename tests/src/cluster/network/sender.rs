//! Which node made a connection: from its two addresses to its inode (`/proc/net/tcp`), from there to the process that
//! holds it, and to the node whose directory that process runs in. Linux only; needs no privileges, since the nodes are
//! children of the test.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Columns of `/proc/net/tcp`, counted from 0.
const LOCAL_COLUMN: usize = 1;
const REMOTE_COLUMN: usize = 2;
const INODE_COLUMN: usize = 9;

/// The place in `directories` of the node whose end of a connection is `sender`, while the other end is `receiver`.
pub(super) fn find(sender: SocketAddr, receiver: SocketAddr, directories: &[PathBuf]) -> Option<usize> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let socket = format!("socket:[{}]", inode(&table, sender, receiver)?);
    let processes = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    for process in processes {
        let Ok(works_in) = fs::read_link(process.join("cwd")) else { continue };
        let Some(node) = directories.iter().position(|directory| *directory == works_in) else { continue };
        if holds(&process, Path::new(&socket)) {
            return Some(node);
        }
    }
    None
}

fn holds(process: &Path, socket: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|link| link == socket))
}

/// The inode of the connection from `local` to `remote` in the kernel's table.
fn inode(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<&str> {
    let (local, remote) = (kernel_form(local)?, kernel_form(remote)?);
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        let is_it =
            columns.nth(LOCAL_COLUMN) == Some(local.as_str()) && columns.next() == Some(remote.as_str());
        let inode = columns.nth(INODE_COLUMN - REMOTE_COLUMN - 1);
        inode.filter(|inode| is_it && *inode != "0")
    })
}

/// An address as the kernel writes it: the IPv4 address as one number in the machine's byte order.
fn kernel_form(address: SocketAddr) -> Option<String> {
    match address {
        SocketAddr::V4(address) => {
            let number = u32::from_ne_bytes(address.ip().octets());
            Some(format!("{number:08X}:{:04X}", address.port()))
        }
        SocketAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 111 1 0 20 4 30 10 -1\n\
            1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1\n";
        let sender = SocketAddr::from(([127, 0, 0, 1], 50_000));
        let receiver = SocketAddr::from(([127, 0, 0, 1], 8080));
        if cfg!(target_endian = "little") {
            assert_eq!(inode(table, sender, receiver), Some("222"));
            assert_eq!(inode(table, receiver, receiver), None);
        }
    }

    #[test]
    fn this_process_is_found_by_the_directory_it_runs_in() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let here = std::env::current_dir().unwrap();
        let (own, other) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        assert_eq!(find(own, other, &[PathBuf::from("/elsewhere"), here]), Some(1));
        assert_eq!(find(own, other, &[PathBuf::from("/elsewhere")]), None);
    }
}
