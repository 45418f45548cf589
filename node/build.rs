//! Takes the files of Swagger UI that the explorer needs out of the archive in `utoipa-swagger-ui-vendored`, and
//! compresses each as it will be served.

use std::error::Error;
use std::fs::File;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;
use zip::result::ZipError;

/// The files, by their paths within the archive's folder.
const FILES: [&str; 4] = ["dist/swagger-ui-bundle.js", "dist/swagger-ui.css", "LICENSE", "NOTICE"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
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
