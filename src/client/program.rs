//! What is known of a client's program without running it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What is known of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Major and minor version of Codex, from the npm package that the program lies in.
    pub version: Option<(u64, u64)>,
}

/// Looks where a program lies: in the npm package of Codex or not. Running it with `--version` would take longer than
/// starting it.
pub fn look(program: &OsStr, path: Option<&OsStr>) -> Installed {
    let version = find(program, path)
        .and_then(|found| found.canonicalize().ok())
        .and_then(|found| found.ancestors().skip(1).take(8).find_map(package_version));
    Installed { version }
}

/// The file that a program's name stands for.
fn find(program: &OsStr, path: Option<&OsStr>) -> Option<PathBuf> {
    if Path::new(program).components().count() > 1 {
        return Some(program.into());
    }
    let folders = std::env::split_paths(path?);
    let names = if cfg!(windows) {
        ["", ".exe", ".cmd"].as_slice()
    } else {
        [""].as_slice()
    };
    folders
        .flat_map(|folder| {
            names.iter().map(move |ending| {
                let mut name = OsString::from(program);
                name.push(ending);
                folder.join(name)
            })
        })
        .find(|candidate| candidate.is_file())
}

#[derive(serde::Deserialize)]
struct Package {
    name: String,
    version: String,
}

fn package_version(folder: &Path) -> Option<(u64, u64)> {
    let mut text = String::new();
    let file = File::open(folder.join("package.json")).ok()?;
    file.take(1 << 20).read_to_string(&mut text).ok()?;
    let package: Package = serde_json::from_str(&text).ok()?;
    package
        .name
        .starts_with("@openai/codex")
        .then(|| version_of(&package.version))?
}

/// Major and minor number of a version.
pub fn version_of(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.trim_start_matches(['v', '^', '~']).split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
