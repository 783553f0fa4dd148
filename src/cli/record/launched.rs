//! The client behind `record --`.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::super::Environment;
use super::super::args::{ClientChoice, EventsChoice, RecordArgs};
use super::super::error::CliError;
use super::super::now::Moment;
use crate::client::home::Home;
use crate::client::launch::{self, Launch};
use crate::client::plan::{self, Choice, Given, Kind, Locals, Survey};
use crate::client::program::{self, Installed};
use crate::client::{EventSource, Sink};
use crate::proxy::tape::{Tape, Told};
use crate::record::Lines;

/// A client that is to be started.
pub(super) struct Launched {
    home: Home,
    installed: Installed,
    pub(super) survey: Survey,
}

impl Launched {
    pub(super) fn survey(args: &RecordArgs, environment: &Environment) -> Self {
        let variables = &environment.client;
        let kind = match args.client {
            ClientChoice::Other => Kind::Other,
            _ => Kind::Codex,
        };
        let home = variables.codex_home(kind);
        let home = home.map(|it| Home::load(&it)).unwrap_or_default();
        let program = plan::program(&args.command);
        let installed = program.map(|it| program::look(it, variables.path.as_deref()));
        let installed = installed.unwrap_or_default();
        let survey = plan::survey(Given {
            command: &args.command,
            choice: choice(args),
            environment: variables,
            home: &home,
            installed: &installed,
        });
        Self {
            home,
            installed,
            survey,
        }
    }

    fn given<'a>(&'a self, args: &'a RecordArgs, environment: &'a Environment) -> Given<'a> {
        Given {
            command: &args.command,
            choice: choice(args),
            environment: &environment.client,
            home: &self.home,
            installed: &self.installed,
        }
    }

    /// Runs the client to its end and returns its status. `bases` replace its upstreams in their order.
    pub(super) fn run(
        &self,
        args: &RecordArgs,
        environment: &Environment,
        bases: &[String],
        tape: &Tape,
        trouble: Sender<Told>,
        moment: &Moment,
    ) -> Result<u8, CliError> {
        let locals = Locals {
            model: bases.first().cloned().unwrap_or_default(),
            chatgpt: bases.get(1).cloned(),
        };
        let mut survey = self.survey.clone();
        if !args.upstream.is_empty() {
            // the user has named the whole of it
            for upstream in &mut survey.upstreams {
                upstream.path.clear();
            }
        }
        let mut launch = Launch {
            plan: survey.plan(self.given(args, environment), &locals),
            home: survey.home.clone(),
            events: None,
            tui_log: None,
        };
        let log = std::env::temp_dir().join(format!("replay-{}.tui.jsonl", moment.file_stamp));
        match args.client_events {
            Some(EventsChoice::TuiLog) => {
                launch = launch.with_tui_log(&environment.client, log.clone());
            }
            Some(EventsChoice::ExecJson) => launch.events = Some(EventSource::ExecJson),
            Some(EventsChoice::Proto) => launch.events = Some(EventSource::Proto),
            Some(EventsChoice::AppServer) => launch.events = Some(EventSource::AppServer),
            Some(EventsChoice::Mcp) => launch.events = Some(EventSource::Mcp),
            None => {}
        }
        let trouble = Box::new(move |text: &str| {
            // the listener may be gone at the very end
            let _gone = trouble.send(Told::Trouble(text.to_owned()));
        });
        let sink: Arc<dyn Sink> = Arc::new(Lines::new(tape.clone(), trouble));
        let ended = launch::run(&launch, &sink);
        if launch.tui_log.as_deref() == Some(log.as_path()) {
            // it is in the recording now
            let _left: io::Result<()> = std::fs::remove_file(&log);
        }
        match ended {
            Ok(exit) => Ok(u8::try_from(exit.status()).unwrap_or(1)),
            Err(error) => Err(CliError {
                exit: u8::try_from(error.status()).unwrap_or(1),
                ..CliError::failed(error.to_string())
            }),
        }
    }
}

fn choice(args: &RecordArgs) -> Choice {
    match args.client {
        ClientChoice::Auto => Choice::Detect,
        ClientChoice::Codex => Choice::Codex,
        ClientChoice::Other => Choice::None,
    }
}
