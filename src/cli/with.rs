//! `--with FILE`: what else there is of a session.

use std::collections::BTreeSet;

use super::Environment;
use super::error::CliError;
use super::input;
use super::output::Output;
use crate::check::Named;
use crate::events::canonical;
use crate::session::Session;

/// Files that were named with `--with`, read.
#[derive(Debug, Default)]
pub(super) struct With {
    read: Vec<(String, Session)>,
}

impl With {
    /// Reads them.
    pub(super) fn read(paths: &[String], environment: &Environment) -> Result<Self, CliError> {
        let mut read = Vec::new();
        for path in paths {
            for source in input::find(path, environment)? {
                read.push((source.name(), source.read(environment)?));
            }
        }
        Ok(Self { read })
    }

    /// The same as checks take them.
    pub(super) fn named(&self) -> Vec<Named<'_>> {
        let named = self.read.iter();
        named
            .map(|(name, session)| Named { name, session })
            .collect()
    }

    /// Says of files that name other threads than the session does that they may be of another one.
    pub(super) fn note(&self, session: &Session, output: &Output) {
        let own = threads(session);
        if own.is_empty() {
            return;
        }
        for (name, other) in &self.read {
            let theirs = threads(other);
            if !theirs.is_empty() && own.is_disjoint(&theirs) {
                output.note(&format!(
                    "{name} names no thread of this session; is it of another one?"
                ));
            }
        }
    }
}

/// The threads a session names, and their parents.
fn threads(session: &Session) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut add = |id: &str| {
        if uuid::Uuid::try_parse(id).is_ok() {
            found.insert(canonical(id).into_owned());
        }
    };
    let log = match session {
        Session::Rollout(rollout) => {
            let meta = &rollout.meta;
            let ids = [&meta.thread_id, &meta.parent_thread];
            ids.into_iter().flatten().for_each(|id| add(id));
            &rollout.events
        }
        Session::Recording(recording) => {
            recording.lanes.iter().for_each(|lane| add(&lane.name));
            &recording.events
        }
    };
    for event in &log.events {
        if let Some(id) = event.thread {
            add(log.text(id));
        }
    }
    found
}
