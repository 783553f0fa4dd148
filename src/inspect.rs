//! `replay inspect`: a session in the terminal, and at every point of it which calls are open.
//!
//! Three functions over [`crate::timeline`]: [`update()`] takes a key, or what a helper found, into the [`Model`] and says
//! what is to be done; [`view()`] draws the model; [`run()`] waits, draws, and does what has to be done outside (files, threads,
//! the terminal). The first two know no terminal, so that tests press keys and read screens. Everything from a session passes
//! [`crate::report::cells`] on its way to the screen.

mod bars;
mod detail;
mod help;
mod judge;
mod list;
mod model;
mod moves;
mod panels;
mod request;
mod run;
mod screen;
mod search;
#[cfg(test)]
mod tests;
mod update;
mod view;

pub use model::{Model, Options};
pub use run::{Helpers, Load, Loaded, Write, run};
pub use update::{Action, Message, update};
pub use view::view;

/// How many columns the terminal on stdout has; `None` if there is none.
pub fn columns() -> Option<u16> {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let size = terminal.then(ratatui::crossterm::terminal::size)?;
    size.ok().map(|(columns, _)| columns)
}
