//! A folder of further sessions, named by `REPLAY_CORPUS`: everything in it is read, checked and replayed without panic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use responses_replay::check::check;
use responses_replay::replay::replay;
use responses_replay::rollout::reader::maybe_zstd;
use responses_replay::session::Session;
use responses_replay::strategy::Options;

use crate::support::{read, variable};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}

#[test]
fn a_corpus_is_read_without_panic() {
    let Some(folder) = variable("REPLAY_CORPUS") else {
        return;
    };
    let mut found = Vec::new();
    files(Path::new(&folder), &mut found);
    found.sort();
    assert!(!found.is_empty(), "{} holds no file", folder.display());
    let options = Options::default();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for path in &found {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).unwrap();
        let whole = maybe_zstd(file)
            .and_then(|mut reader| std::io::Read::read_to_end(&mut reader, &mut bytes));
        let what = match whole
            .map_err(|error| error.to_string())
            .and_then(|_| read(&bytes))
        {
            Ok(session) => {
                let kind = match &session {
                    Session::Recording(_) => "recording".to_owned(),
                    Session::Rollout(rollout) => format!("rollout {}", rollout.era.name()),
                };
                let checked = check(&session, &options);
                let problems = session.problems().len();
                let report = replay("-", session, &[], &options);
                println!(
                    "{}: {kind}, {}, {} open, {} findings, {problems} problems",
                    path.display(),
                    report.verdict().name(),
                    report.open_calls.len(),
                    checked.findings.len()
                );
                kind
            }
            Err(error) => {
                println!("{}: {error}", path.display());
                "no session".to_owned()
            }
        };
        *counts.entry(what).or_default() += 1;
    }
    println!("{counts:?}");
}
