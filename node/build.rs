//! What a binary tells of its own making: the compiler, and the revision of the source where that is known without asking
//! anything that changes from build to build.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=OLLAMAFLOW_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=.cargo_vcs_info.json");
    println!("cargo::rustc-env=OLLAMAFLOW_RUSTC={}", rustc().unwrap_or_default());
    println!("cargo::rustc-env=OLLAMAFLOW_REVISION={}", revision().unwrap_or_default());
}

/// The release of the compiler.
fn rustc() -> Option<String> {
    let told = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    told.split_whitespace().nth(1).map(str::to_owned)
}

/// What whoever builds says, or what `cargo package` has written into the package. A checkout is not asked: each commit
/// would build all of the program anew.
fn revision() -> Option<String> {
    if let Some(told) = env::var("OLLAMAFLOW_REVISION").ok().filter(|told| !told.is_empty()) {
        return Some(told);
    }
    let package = Path::new(&env::var_os("CARGO_MANIFEST_DIR")?).join(".cargo_vcs_info.json");
    let info = std::fs::read_to_string(package).ok()?;
    let (_, rest) = info.split_once("\"sha1\": \"")?;
    rest.split_once('"').map(|(sha1, _)| sha1.to_owned())
}
