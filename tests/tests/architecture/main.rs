//! The house of ARCHITECTURE.md, checked: which room may import which, and that `protocol` stays pure.

#![expect(clippy::unwrap_used, reason = "a source tree that cannot be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms of the node, each with those that it may import from.
const ROOMS: [(&str, &[&str]); 19] = [
    ("clock", &[]),
    ("random", &[]),
    ("pem", &[]),
    ("settings", &["clock", "random"]),
    ("telemetry", &["clock", "settings"]),
    ("catalog", &[]),
    ("cluster", &["clock", "pem", "random"]),
    ("keys", &["clock", "cluster"]),
    ("upstream", &["clock", "pem"]),
    ("media", &["upstream"]),
    ("actors", &["catalog", "clock", "upstream"]),
    ("listener", &["clock", "pem"]),
    ("models", &["actors", "catalog", "clock", "cluster", "random", "upstream"]),
    (
        "gateway",
        &["actors", "clock", "cluster", "keys", "listener", "media", "models", "telemetry", "upstream"],
    ),
    ("description", &[]),
    (
        "admin",
        &[
            "actors",
            "clock",
            "cluster",
            "description",
            "gateway",
            "keys",
            "listener",
            "models",
            "random",
            "telemetry",
        ],
    ),
    (
        "app",
        &[
            "settings",
            "telemetry",
            "catalog",
            "cluster",
            "keys",
            "upstream",
            "media",
            "actors",
            "listener",
            "models",
            "gateway",
            "admin",
        ],
    ),
    ("cli", &["settings", "app", "cluster", "upstream"]),
    ("main", &["settings", "app", "cli"]),
];

/// What a pure crate must not name.
const IMPURE: [&str; 9] = [
    "tokio::",
    "actix",
    "awc::",
    "std::net::",
    "std::fs",
    "std::thread",
    "SystemTime",
    "Instant::",
    "std::env",
];

/// Crates for people at a terminal, which nothing that serves requests may need.
const FOR_PEOPLE: [&str; 6] = ["clap_complete", "comfy_table", "crossterm", "indicatif", "toml::", "clap::"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file, without comments and without its unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn rooms_import_only_from_the_rooms_above_them() {
    let source = root().join("node/src");
    let library = code(&source.join("lib.rs"));
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in sources(&source) {
        let inside = file.strip_prefix(&source).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if room != "main" && !library.contains(&format!("pub mod {room};")) {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: room `{room}` is not in the picture", inside.display()));
            continue;
        };
        let code = code(&file);
        for prefix in ["crate::", "ollamaflow::"] {
            for (at, _) in code.match_indices(prefix) {
                let rest = &code[at + prefix.len()..];
                let named: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let is_room = ROOMS.iter().any(|(name, _)| *name == named);
                seen += usize::from(is_room);
                if is_room && named != room && !allowed.contains(&named.as_str()) {
                    wrong.push(format!("{}: `{room}` must not import `{named}`", inside.display()));
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} imports were found: the test has lost sight of the code");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_knows_of_people_at_a_terminal() {
    let source = root().join("node/src");
    let is_server = |file: &PathBuf| !file.strip_prefix(&source).unwrap().starts_with("cli");
    let mut wrong = Vec::new();
    for file in sources(&source).into_iter().filter(is_server) {
        let code = code(&file);
        let named = FOR_PEOPLE.iter().filter(|name| code.contains(*name));
        wrong.extend(named.map(|name| format!("{}: {name}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_protocol_crate_does_no_io_and_knows_no_clock_or_runtime() {
    let mut wrong = Vec::new();
    // The golden test reads the vectors that it is told of; it is no part of the product.
    let is_product = |file: &PathBuf| !file.ends_with("golden.rs");
    for file in sources(&root().join("protocol/src")).into_iter().filter(is_product) {
        let code = code(&file);
        wrong.extend(
            IMPURE
                .iter()
                .filter(|name| code.contains(*name))
                .map(|name| format!("{}: {name}", file.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_source_file_outgrows_its_subject() {
    let mut long = Vec::new();
    for folder in ["node/src", "protocol/src", "tests/src", "tests/bench/src"] {
        let inside = root().join(folder).canonicalize().unwrap();
        for file in sources(&inside) {
            if file.strip_prefix(&inside).unwrap().iter().any(|part| part == "tests" || part == "tests.rs") {
                continue;
            }
            let lines = code(&file).lines().count();
            if lines > 450 {
                long.push(format!("{}: {lines} lines without tests", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "split these by subject:\n{}", long.join("\n"));
}
