//! What a binary tells of its own making: the compiler, and the revision of the source where that is known without asking
//! anything that changes from build to build. And the files of Swagger UI that the explorer needs: taken out of the archive
//! in `utoipa-swagger-ui-vendored`, each compressed as it will be served.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;
use zip::result::ZipError;

/// The files, by their paths within the archive's folder.
const FILES: [&str; 4] = ["dist/swagger-ui-bundle.js", "dist/swagger-ui.css", "LICENSE", "NOTICE"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=OLLAMAFLOW_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=OLLAMAFLOW_RUSTC={}", rustc().unwrap_or_default());
    println!("cargo::rustc-env=OLLAMAFLOW_REVISION={}", revision().unwrap_or_default());
    pack_swagger_ui()
}

fn pack_swagger_ui() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    // All of it is in one folder, named after the version.
    let names: Vec<String> =
        archive.file_names().map(|name| Ok(name?.into_owned())).collect::<Result<_, ZipError>>()?;
    let folder = names.iter().find_map(|name| Some(name.split_once('/')?.0)).ok_or("the archive is empty")?;
    for wanted in FILES {
        let mut file = archive.by_name(&format!("{folder}/{wanted}"))?;
        let base = Path::new(wanted).file_name().ok_or("a file has a name")?.to_string_lossy().into_owned();
        // Without a time in it, so that the same source makes the same program.
        let mut packed: GzEncoder<File> = GzBuilder::new()
            .mtime(0)
            .write(File::create(out.join(format!("{base}.gz")))?, Compression::best());
        io::copy(&mut file, &mut packed)?;
        packed.finish()?;
    }
    Ok(())
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
