//! Sessions on their way to a real endpoint.

use super::{Bar, Target, consent, recorded, words};
use crate::cli::Environment;
use crate::cli::args::ReplayArgs;
use crate::cli::convert::is_same;
use crate::cli::error::CliError;
use crate::cli::input::Source;
use crate::cli::output::Output;
use crate::cli::{labels, texts};
use crate::replay::live::{Forecast, Job, forecast};
use crate::replay::{self, SessionReport};
use crate::session::Session;
use crate::session::kept::Kept;
use crate::strategy::{self, Options, Strategy};

/// A session that is to be sent.
pub(in crate::cli) struct Ready {
    pub(in crate::cli) source: Source,
    session: Session,
    kept: Kept,
    strategies: Vec<Strategy>,
}

impl Ready {
    /// Reads it.
    pub(in crate::cli) fn read(
        source: &Source,
        strategies: &[Strategy],
        environment: &Environment,
    ) -> Result<Self, CliError> {
        let (session, kept) = texts::read(source, environment)?;
        let strategies = if strategies.is_empty() {
            vec![strategy::default_for(&session)]
        } else {
            strategies.to_vec()
        };
        Ok(Self {
            source: source.clone(),
            session,
            kept,
            strategies,
        })
    }

    fn jobs<'a>(
        &'a self,
        target: &'a Target,
        options: &'a Options,
    ) -> impl Iterator<Item = Job<'a>> {
        self.strategies.iter().map(|strategy| Job {
            session: &self.session,
            kept: &self.kept,
            strategy: *strategy,
            options,
            how: &target.how,
        })
    }
}

/// Sends sessions, with the user's consent, and returns what was said of each.
pub(in crate::cli) fn send(
    args: &ReplayArgs,
    target: &Target,
    ready: Vec<Ready>,
    options: &Options,
    output: &Output,
) -> Result<Vec<(Source, SessionReport)>, CliError> {
    if let Some(out) = &args.target.output {
        let read = |one: &Ready| one.source.path().is_some_and(|path| is_same(path, out));
        if ready.iter().any(read) {
            return Err(
                CliError::usage(format!("{} is the session itself", out.display()))
                    .hint("record into another file"),
            );
        }
    }
    let mut all = Forecast::default();
    let mut runs = 0;
    for one in &ready {
        for job in one.jobs(target, options) {
            let found = forecast(&job);
            if found.without_model > 0 {
                let name = one.source.name();
                return Err(CliError::usage(format!("{name} names no model"))
                    .hint("name the one to send: --model NAME"));
            }
            all.requests += found.requests;
            all.bytes += found.bytes;
            all.not_sent += found.not_sent;
            runs += 1;
        }
    }
    let mut what = words(&all, ready.len(), runs);
    if let Some(name) = target.key_name() {
        what = format!("{what}, with the key in {name},");
    }
    consent(&target.upstream, &what, args.target.yes, output)?;
    let command = std::env::args().collect();
    let (sender, path) =
        target.sender(args.target.output.as_deref(), args.target.force, command)?;
    let mut reports = Vec::new();
    for one in ready {
        let name = one.source.name();
        let bar = Bar::new(output, &name);
        let mut runs = Vec::new();
        for job in one.jobs(target, options) {
            let mut run = sender.run(&job, &mut |progress| bar.told(progress));
            for live in run.requests.iter_mut().filter_map(|it| it.live.as_mut()) {
                for text in [&mut live.message, &mut live.note].into_iter().flatten() {
                    *text = target.hide(text);
                }
                if let Some(differs) = &mut live.divergence {
                    differs.now = target.hide(&differs.now);
                }
            }
            runs.push(run);
        }
        drop(bar);
        let mut report = replay::of_runs(&name, one.session, runs);
        report.target = Some(target.url());
        report.labels = labels::read(&one.source, &report.session, &report.wanted());
        reports.push((one.source, report));
    }
    if let (Some(totals), Some(path)) = (sender.finish(), path) {
        recorded(&path, &totals, output)?;
    }
    Ok(reports)
}
