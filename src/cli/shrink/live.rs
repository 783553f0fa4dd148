//! A real endpoint that says whether a candidate is still refused.

use std::collections::BTreeSet;

use crate::cli::Environment;
use crate::cli::args::{ShrinkArgs, TargetArgs};
use crate::cli::error::CliError;
use crate::cli::input::Source;
use crate::cli::output::Output;
use crate::cli::target::{self, Target};
use crate::cli::texts;
use crate::replay::live::{Job, Sender, forecast};
use crate::session::Session;
use crate::session::kept::Kept;
use crate::shrink::{self, Answer, Contract, Limits, Oracle, Same, Shrunk};
use crate::strategy::live::{Live as Said, LiveResult};
use crate::strategy::{self, Options, Run, Strategy, Verdict};
use crate::timeline;
use crate::wire::item::ItemKind;

/// How many requests are sent where the user names no number.
const MAX_REQUESTS: usize = 1000;

/// What is said of a candidate that was not judged.
const NOT_SENT: &str = "not sent any more";

/// What came of it.
pub(super) struct Small {
    pub(super) shrunk: Shrunk,
    pub(super) failure: String,
    pub(super) strategy: Strategy,
    pub(super) not_default: bool,
    pub(super) url: String,
    pub(super) sent: usize,
}

/// Makes the session in `text` small, with the endpoint's own answers.
pub(super) fn run(
    name: &str,
    text: &str,
    args: &ShrinkArgs,
    options: &Options,
    asked: Option<Strategy>,
    environment: &Environment,
    output: &Output,
) -> Result<Small, CliError> {
    let named = |error: CliError| CliError {
        path: Some(name.to_owned()),
        ..error
    };
    let most = args.max_requests.unwrap_or(MAX_REQUESTS);
    let typed = TargetArgs {
        target: args.target.clone(),
        key_env: args.key_env.clone(),
        model: args.model.clone(),
        yes: args.yes,
        ..TargetArgs::default()
    };
    let target = target::target(&typed, environment, "continue")?
        .ok_or_else(|| CliError::usage("--target names no endpoint"))?;
    let (session, kept) = read(text, environment).map_err(named)?;
    let default = strategy::default_for(&session);
    let strategies = match asked {
        Some(strategy) => vec![strategy],
        None if default == Strategy::None => vec![default],
        None => vec![default, Strategy::None],
    };
    let forecasts: Vec<_> = strategies
        .iter()
        .map(|strategy| forecast(&job(&session, &kept, *strategy, options, &target.how)))
        .collect();
    if forecasts.iter().any(|it| it.without_model > 0) {
        return Err(named(CliError::usage("the session names no model"))
            .hint("name the one to send: --model NAME"));
    }
    let whole = forecasts
        .first()
        .map_or_else(String::new, |it| target::words(it, 1, 1));
    let s = if most == 1 { "" } else { "s" };
    let mut what = format!("at most {most} request{s} (the session as it is: {whole})");
    if let Some(key) = target.key_name() {
        what = format!("{what}, with the key in {key},");
    }
    target::consent(&target.upstream, &what, args.yes, output)?;
    let (sender, _) = target.sender(None, false, Vec::new())?;
    let mut live = Live {
        environment,
        options,
        sender,
        strategy: default,
        refused: None,
        left: most,
        sent: 0,
        spent: false,
        failure: None,
        target,
    };
    let mut tried = Vec::new();
    for strategy in strategies {
        live.strategy = strategy;
        let run = live.send(&session, &kept);
        live.refused = first(&run).map(|said| Refused::of(said, &session, &run, args.same_call));
        if live.refused.is_some() {
            break;
        }
        let why = failed(&run).map_or_else(|| run.verdict.name().to_owned(), |it| it.1);
        if run.verdict == Verdict::Failed {
            return Err(named(CliError::failed(format!(
                "the endpoint did not judge this session: {}",
                live.target.hide(&why)
            ))));
        }
        tried.push(format!("{}: {}", strategy.name(), run.verdict.name()));
    }
    let Some(refused) = live.refused.clone() else {
        let message = if live.left == 0 {
            format!("none of the first {most} requests was refused by the endpoint")
        } else {
            format!(
                "the endpoint refuses nothing of this session ({})",
                tried.join(", ")
            )
        };
        return Err(super::nothing(name, message));
    };
    let text = by_contract_first(text, &session, &refused, args, options, &mut live);
    let shrunk = shrink::shrink(&text, &mut live, Limits::default());
    if let Some(why) = &live.failure {
        return Err(named(
            CliError::failed(format!(
                "the endpoint stopped judging after {} requests: {}",
                live.sent,
                live.target.hide(why)
            ))
            .hint("nothing was written"),
        ));
    }
    let mut shrunk = shrunk.ok_or_else(|| {
        if live.spent {
            named(CliError::failed(format!(
                "no more than {most} request{s} may be sent, and that leaves none to leave anything out"
            )))
            .hint("--max-requests N sends more")
        } else {
            named(CliError::failed(
                "the endpoint does not refuse the session a second time",
            ))
        }
    })?;
    shrunk.minimal &= !live.spent;
    shrunk.kept.retain(|kept| kept.without != NOT_SENT);
    Ok(Small {
        failure: live.target.hide(&refused.words()),
        strategy: live.strategy,
        not_default: asked.is_none() && live.strategy != default,
        url: live.target.url(),
        sent: live.sent,
        shrunk,
    })
}

/// The contract leaves out what it can without a request; it counts only if the endpoint refuses the rest as before.
fn by_contract_first(
    text: &str,
    session: &Session,
    refused: &Refused,
    args: &ShrinkArgs,
    options: &Options,
    live: &mut Live<'_>,
) -> String {
    let same = if args.same_call {
        Same::Call
    } else {
        Same::Rule
    };
    let none = crate::rollout::NoLibrary;
    let Ok(mut contract) = Contract::of(session, Some(live.strategy), options, same, &none) else {
        return text.to_owned();
    };
    if Some(contract.refusal().0) != refused.named.as_ref().map(|it| it.0) {
        return text.to_owned();
    }
    match shrink::shrink(text, &mut contract, Limits::default()) {
        Some(small) if live.judge(&small.text) == Answer::Same => small.text,
        _ => text.to_owned(),
    }
}

fn read(text: &str, environment: &Environment) -> Result<(Session, Kept), CliError> {
    texts::read(&Source::Bytes(text.as_bytes().to_vec()), environment)
}

fn job<'a>(
    session: &'a Session,
    kept: &'a Kept,
    strategy: Strategy,
    options: &'a Options,
    how: &'a crate::replay::live::How,
) -> Job<'a> {
    Job {
        session,
        kept,
        strategy,
        options,
        how,
    }
}

/// A refusal by an endpoint, as far as it has to stay the same.
#[derive(Clone, Debug)]
struct Refused {
    status: u16,
    /// The rule and the kind of item, where the message is one of the contract.
    named: Option<(crate::wire::refusal::RefusalKind, Option<ItemKind>)>,
    /// The call (or item or response) that it names.
    id: String,
    /// The calls that may be named.
    ids: BTreeSet<String>,
    /// The message without what changes from call to call.
    message: String,
    shown: String,
}

impl Refused {
    fn of(said: &Said, session: &Session, run: &Run, same_call: bool) -> Self {
        let id = |said: &Said| said.named.as_ref().map(|it| it.id.clone());
        let own = id(said).unwrap_or_default();
        let mut ids = BTreeSet::from([own.clone()]);
        if !same_call {
            ids.extend(refusals(run).filter_map(id));
            let items = crate::check::items(session);
            let open = timeline::open_calls(session);
            ids.extend(open.iter().map(|open| items.call_id(open.call).to_owned()));
        }
        let shown = said.message.clone().unwrap_or_default();
        Self {
            status: said.status.unwrap_or(0),
            named: said.named.as_ref().map(|it| (it.kind, it.item_type)),
            id: own,
            ids,
            message: shape(&shown),
            shown,
        }
    }

    /// Whether another refusal is of this way.
    fn is_like(&self, said: &Said) -> bool {
        match (&self.named, &said.named) {
            (Some(own), Some(other)) => {
                *own == (other.kind, other.item_type) && self.ids.contains(&other.id)
            }
            (None, None) => {
                said.status == Some(self.status)
                    && shape(said.message.as_deref().unwrap_or("")) == self.message
            }
            _ => false,
        }
    }

    fn words(&self) -> String {
        match &self.named {
            Some((kind, item)) => {
                let item = item.map_or("", ItemKind::name);
                format!("{} {item} {}", kind.name(), self.id)
            }
            None => format!("{}: {}", self.status, self.shown),
        }
    }
}

/// A message without numbers and ids.
fn shape(message: &str) -> String {
    let words = message.split_whitespace();
    let plain = words.filter(|word| !word.chars().any(|c| c.is_ascii_digit() || c == '_'));
    plain.collect::<Vec<_>>().join(" ")
}

fn refusals(run: &Run) -> impl Iterator<Item = &Said> {
    let lives = run.requests.iter().filter_map(|it| it.live.as_deref());
    lives.filter(|live| live.result == LiveResult::Refused)
}

fn first(run: &Run) -> Option<&Said> {
    refusals(run).next()
}

/// The first request without a word of the contract: its status, and why.
fn failed(run: &Run) -> Option<(Option<u16>, String)> {
    let mut lives = run.requests.iter().filter_map(|it| it.live.as_deref());
    let said = lives.find(|live| live.result == LiveResult::Failed)?;
    let why = said.message.clone().or_else(|| said.note.clone());
    Some((said.status, why.unwrap_or_default()))
}

/// The endpoint as an oracle.
struct Live<'a> {
    environment: &'a Environment,
    options: &'a Options,
    target: Target,
    sender: Sender,
    strategy: Strategy,
    refused: Option<Refused>,
    /// How many requests may still be sent.
    left: usize,
    sent: usize,
    /// Whether a candidate was not judged because none may be sent any more.
    spent: bool,
    /// Why it cannot judge any more.
    failure: Option<String>,
}

impl Live<'_> {
    fn send(&mut self, session: &Session, kept: &Kept) -> Run {
        self.target.how.max_requests = Some(self.left);
        let job = job(session, kept, self.strategy, self.options, &self.target.how);
        let run = self.sender.run(&job, &mut |_| {});
        let sent = run.score.requests_sent as usize;
        self.sent += sent;
        self.left = self.left.saturating_sub(sent);
        run
    }
}

impl Oracle for Live<'_> {
    fn judge(&mut self, candidate: &str) -> Answer {
        if self.failure.is_some() || self.left == 0 {
            self.spent |= self.left == 0;
            return Answer::Other(NOT_SENT.to_owned());
        }
        let (session, kept) = match read(candidate, self.environment) {
            Ok(read) => read,
            Err(error) => return Answer::Other(format!("it cannot be read: {}", error.message)),
        };
        let run = self.send(&session, &kept);
        if let Some(said) = first(&run) {
            if self.refused.as_ref().is_some_and(|it| it.is_like(said)) {
                return Answer::Same;
            }
            let message = said.message.as_deref().unwrap_or("");
            return Answer::Other(format!("refused otherwise: {}", self.target.hide(message)));
        }
        match failed(&run) {
            // what a candidate made the server stumble over is no refusal; no answer, no right and no more room are the end
            Some((Some(status), why)) if status >= 500 => Answer::Other(format!(
                "the endpoint answers {status}: {}",
                self.target.hide(&why)
            )),
            Some((_, why)) => {
                self.failure = Some(why.clone());
                Answer::Other(why)
            }
            None if run.score.requests_sent == 0 => Answer::Other("there is no request".to_owned()),
            None if self.left == 0 => {
                self.spent = true;
                Answer::Other(NOT_SENT.to_owned())
            }
            None => Answer::Other(format!("nothing is refused: {}", run.verdict.name())),
        }
    }
}
