//! The contract as the oracle.

use std::collections::BTreeSet;
use std::io::Cursor;

use super::{Answer, Oracle};
use crate::contract::Fault;
use crate::rollout::{Library, reader as rollout_reader};
use crate::session::{self, Kind, Session, exchanges, reader, request_file};
use crate::strategy::{self, Judged, Options, Run, Strategy, Verdict};
use crate::timeline;
use crate::wire::item::ItemKind;
use crate::wire::refusal::RefusalKind;

/// How alike a refusal must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Same {
    /// The same rule and kind of item, for a call (or id) that the session is refused for.
    #[default]
    Rule,
    /// The same call, too.
    Call,
}

/// Why there is nothing to shrink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRefusal {
    /// The strategies that were tried, and their verdicts.
    pub tried: Vec<(Strategy, Verdict)>,
}

/// A refusal as far as it has to stay the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    kind: RefusalKind,
    item: Option<ItemKind>,
    id: String,
    /// Whether the contract says so; otherwise the answer on record alone does.
    derived: bool,
}

/// Judges candidates by the contract, under the strategy under which the session was refused.
pub struct Contract<'l> {
    library: &'l dyn Library,
    options: Options,
    strategy: Strategy,
    refused: Refused,
    /// The calls that may be named.
    ids: BTreeSet<String>,
}

impl std::fmt::Debug for Contract<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contract")
            .field("strategy", &self.strategy)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

impl<'l> Contract<'l> {
    /// An oracle for the refusal of `session` under `strategy`, or, where none is named, under the session's default and
    /// then `none`.
    ///
    /// # Errors
    /// If no request of it is refused.
    pub fn of(
        session: &Session,
        strategy: Option<Strategy>,
        options: &Options,
        same: Same,
        library: &'l dyn Library,
    ) -> Result<Self, NoRefusal> {
        let mut tried = Vec::new();
        let default = strategy::default_for(session);
        let candidates = match strategy {
            Some(strategy) => vec![strategy],
            None if default == Strategy::None => vec![default],
            None => vec![default, Strategy::None],
        };
        for strategy in candidates {
            let run = strategy::run_briefly(session, strategy, options);
            let Some(refused) = first(&run, session) else {
                tried.push((strategy, run.verdict));
                continue;
            };
            let mut ids = BTreeSet::from([refused.id.clone()]);
            if same == Same::Rule {
                let items = crate::check::items(session);
                ids.extend(
                    run.requests
                        .iter()
                        .filter_map(|request| Some(named(request, session)?.id)),
                );
                let open = timeline::open_calls(session);
                ids.extend(open.iter().map(|open| items.call_id(open.call).to_owned()));
            }
            return Ok(Self {
                library,
                options: options.clone(),
                strategy,
                refused,
                ids,
            });
        }
        Err(NoRefusal { tried })
    }

    /// The strategy under which the session is refused.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The rule, the kind of the item and the call id (or item or response id) of the refusal.
    pub fn refusal(&self) -> (RefusalKind, Option<ItemKind>, &str) {
        (self.refused.kind, self.refused.item, &self.refused.id)
    }

    fn read(&self, candidate: &str) -> Result<Session, String> {
        let head = candidate.as_bytes();
        let head = head.get(..head.len().min(64 << 10)).unwrap_or(head);
        let bytes = Cursor::new(candidate.as_bytes());
        let recording = match session::sniff(head) {
            Kind::Recording => reader::read(bytes),
            Kind::Exchanges => exchanges::read(bytes),
            Kind::RequestBody | Kind::ItemArray => request_file::read(bytes),
            Kind::LabLog | Kind::EventLog(_) => {
                return Err("it is no session any more".to_owned());
            }
            Kind::Unknown => {
                return rollout_reader::read(bytes, self.library)
                    .map(Session::Rollout)
                    .map_err(|error| error.to_string());
            }
        };
        recording
            .map(Session::Recording)
            .map_err(|error| error.to_string())
    }
}

impl Oracle for Contract<'_> {
    fn judge(&mut self, candidate: &str) -> Answer {
        let session = match self.read(candidate) {
            Ok(session) => session,
            Err(error) => return Answer::Other(format!("it cannot be read: {error}")),
        };
        let run = strategy::run_briefly(&session, self.strategy, &self.options);
        match first(&run, &session) {
            None if run.requests.is_empty() => Answer::Other("there is no request".to_owned()),
            None => Answer::Other(format!("nothing is refused: {}", run.verdict.name())),
            Some(found) => {
                let alike = found.kind == self.refused.kind
                    && found.item == self.refused.item
                    // what shows the cause must not go while only the answer on record is left
                    && (found.derived || !self.refused.derived)
                    && self.ids.contains(&found.id);
                if alike {
                    Answer::Same
                } else if !found.derived && self.refused.derived {
                    Answer::Other("only the recorded answer says that it is refused".to_owned())
                } else {
                    let item = found.item.map_or("", ItemKind::name);
                    Answer::Other(format!(
                        "refused otherwise: {} {item} {}",
                        found.kind.name(),
                        found.id
                    ))
                }
            }
        }
    }
}

/// The first refusal of a run that stood.
fn first(run: &Run, session: &Session) -> Option<Refused> {
    if run.verdict != Verdict::Refused {
        return None;
    }
    run.requests
        .iter()
        .find_map(|request| named(request, session))
}

fn named(request: &Judged, session: &Session) -> Option<Refused> {
    if !request.is_refused() && !request.is_refused_on_record() {
        return None;
    }
    if let Some(fault) = request.refusal.filter(|_| request.is_refused()) {
        return Some(of_fault(&fault, session));
    }
    let named = request.recorded.as_ref()?.named.as_ref()?;
    Some(Refused {
        kind: named.kind,
        item: named.item_type,
        id: named.id.clone(),
        derived: false,
    })
}

fn of_fault(fault: &Fault, session: &Session) -> Refused {
    let items = crate::check::items(session);
    Refused {
        kind: fault.kind,
        item: Some(fault.item),
        id: fault
            .call
            .map_or_else(String::new, |call| items.call_id(call).to_owned()),
        derived: true,
    }
}
