//! Interrupts a session everywhere and asks every strategy for the next request.
//!
//! The places and the judging are those of [`crate::strategy::interrupt`]; here they become a matrix: a row for each
//! [`Situation`], a column for each strategy, in each [`Cell`] what became of the requests and the smallest cut that
//! fails. Work is shared out to threads by strategy; the result does not depend on how many there are.

mod cell;
mod retype;
mod twice;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::contract::Policy;
use crate::session::Session;
use crate::strategy::Strategy;
use crate::strategy::interrupt::{self, Base, Next, Point, Stage, Who};
use crate::wire::item::ItemKind;

pub use cell::{Cell, Example, Mark};
pub use retype::retype;

/// Which places are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cuts {
    /// Behind every event.
    #[default]
    All,
    /// Between items, and between calls and outputs.
    Items,
    /// At most so many, spread over the session.
    Some(usize),
}

/// How a session is changed before it is swept.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant {
    /// Every function, custom and local shell call becomes one of this kind.
    pub kind: Option<&'static str>,
    /// `call_` inside of call ids becomes this.
    pub ids: Option<String>,
    /// Every request of a recording travels like this: `http` or `websocket`.
    pub transport: Option<&'static str>,
}

impl Variant {
    fn is_plain(&self) -> bool {
        self.kind.is_none() && self.ids.is_none() && self.transport.is_none()
    }

    /// What it is called in reports: `as recorded`, or what is changed.
    pub fn name(&self) -> String {
        let kind = self.kind.map(str::to_owned);
        let ids = self.ids.as_ref().map(|ids| format!("ids {ids}…"));
        let transport = self.transport.map(|it| format!("over {it}"));
        let parts: Vec<String> = [kind, ids, transport].into_iter().flatten().collect();
        if parts.is_empty() {
            "as recorded".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The strategies, in the order of the columns.
    pub strategies: Vec<Strategy>,
    /// Who cuts, and what the next request goes on from.
    pub nexts: Vec<Next>,
    /// Which places are tried.
    pub cuts: Cuts,
    /// Policies with a fixed value.
    pub policies: Vec<(Policy, usize)>,
    /// How calls are typed; the session as it is should be among them.
    pub variants: Vec<Variant>,
    /// Whether the answer to the next request is cut, too.
    pub twice: bool,
    /// How many threads work.
    pub jobs: usize,
}

impl Default for Plan {
    fn default() -> Self {
        let next = |who| Next { who, base: None };
        Self {
            strategies: Strategy::ALL.to_vec(),
            nexts: Who::ALL.map(next).to_vec(),
            cuts: Cuts::All,
            policies: Vec::new(),
            variants: vec![Variant::default()],
            twice: false,
            jobs: 1,
        }
    }
}

/// What a cut falls into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Situation {
    /// The index of the variant in [`Sweep::variants`].
    pub variant: usize,
    /// Whether it is the second cut: the first one's next request was answered up to here.
    pub second_cut: bool,
    /// Who cut.
    pub who: Who,
    /// What the next request goes on from, where that was chosen.
    pub base: Option<Base>,
    /// Whether the cut request carried outputs: the stream behind a tool.
    pub carries_outputs: bool,
    /// How far things had come.
    pub stage: Stage,
}

impl Situation {
    /// A name that is the same in every sweep.
    pub fn name(&self) -> String {
        let mut name = format!("{} cuts", self.who.name());
        if let Some(base) = self.base {
            name.push_str(", on ");
            name.push_str(base.name());
        }
        name.push_str(": ");
        if self.second_cut {
            name.push_str("again, ");
        }
        if self.carries_outputs {
            name.push_str("second stream, ");
        }
        name.push_str(self.stage.name());
        name
    }
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The strategy that was asked for.
    pub strategy: Strategy,
    /// The one that was used.
    pub resolved: Strategy,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// How calls were typed.
    pub variants: Vec<Variant>,
    /// The columns.
    pub columns: Vec<Column>,
    /// How many places were tried in each variant.
    pub cuts: u64,
    /// How many of them leave client and server in a state of their own.
    pub points: usize,
    /// How many requests were judged.
    pub judged: u64,
    /// How many first cuts the second ones were taken behind; 0 where none were asked for.
    pub first_cuts: usize,
    /// Whether nothing shows what the next request goes on from, and the whole history is assumed.
    pub base_assumed: bool,
    /// The rows, in order; each has a cell for each column, `None` where nothing was asked.
    pub rows: BTreeMap<Situation, Vec<Option<Cell>>>,
}

impl Sweep {
    /// The cells of a column, with their situations.
    pub fn column(&self, strategy: Strategy) -> impl Iterator<Item = (&Situation, &Cell)> {
        let at = self.columns.iter().position(|it| it.strategy == strategy);
        self.rows.iter().filter_map(move |(situation, cells)| {
            let cell = cells.get(at?)?.as_ref()?;
            Some((situation, cell))
        })
    }

    /// The key of a cell: the same in every sweep of the same kind.
    pub fn key(&self, situation: &Situation, strategy: Strategy) -> String {
        let variant = self.variants.get(situation.variant);
        let variant = variant.map(Variant::name).unwrap_or_default();
        format!("{variant}; {}; {}", situation.name(), strategy.name())
    }
}

/// Told of progress: done, and of how many.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What became of one column: its place, and its cells.
type Part = (usize, BTreeMap<Situation, Cell>);

/// Sweeps a session.
pub fn sweep(session: &Session, plan: &Plan, progress: Progress<'_>) -> Sweep {
    let sessions: Vec<Option<Session>> = plan
        .variants
        .iter()
        .map(|variant| (!variant.is_plain()).then(|| retype(session, variant)))
        .collect();
    let of = |at: usize| sessions.get(at).and_then(Option::as_ref).unwrap_or(session);
    let points = chosen(interrupt::points(session), plan.cuts);
    let columns: Vec<Column> = plan
        .strategies
        .iter()
        .map(|strategy| Column {
            strategy: *strategy,
            resolved: interrupt::resolve(session, *strategy),
        })
        .collect();
    let tasks: Vec<(usize, usize)> = (0..plan.variants.len())
        .flat_map(|variant| (0..columns.len()).map(move |column| (variant, column)))
        .collect();
    let next_task = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let first_cuts = AtomicUsize::new(0);
    let parts: Mutex<Vec<Part>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let task = next_task.fetch_add(1, Ordering::Relaxed);
            let Some(&(variant, column)) = tasks.get(task) else {
                return;
            };
            let Some(used) = columns.get(column) else {
                return;
            };
            let mut worker = Worker {
                session: of(variant),
                plan,
                variant,
                // as it was resolved for the session as it is: calls of another kind do not change who the client is
                column: *used,
                cells: BTreeMap::new(),
            };
            worker.once(&points);
            if plan.twice {
                let firsts = worker.twice(&points);
                first_cuts.fetch_max(firsts, Ordering::Relaxed);
            }
            let mut all = parts.lock().unwrap_or_else(PoisonError::into_inner);
            all.push((column, worker.cells));
            drop(all);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, tasks.len());
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..plan.jobs.clamp(1, tasks.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let mut rows: BTreeMap<Situation, Vec<Option<Cell>>> = BTreeMap::new();
    let mut judged = 0;
    for (column, cells) in parts.into_inner().unwrap_or_else(PoisonError::into_inner) {
        for (situation, cell) in cells {
            judged += cell.requests_judged;
            let row = rows
                .entry(situation)
                .or_insert_with(|| vec![None; columns.len()]);
            if let Some(slot) = row.get_mut(column) {
                *slot = Some(cell);
            }
        }
    }
    Sweep {
        variants: plan.variants.clone(),
        columns,
        cuts: points.iter().map(|point| u64::from(point.cuts)).sum(),
        points: points.len(),
        judged,
        first_cuts: first_cuts.into_inner(),
        base_assumed: plan.nexts.iter().any(|next| next.base.is_none())
            && !interrupt::habit_is_known(session),
        rows,
    }
}

/// The points that are tried.
fn chosen(mut points: Vec<Point>, cuts: Cuts) -> Vec<Point> {
    match cuts {
        Cuts::All => points,
        Cuts::Items => {
            points.retain(|point| point.between_items);
            for point in &mut points {
                point.cuts = 1;
            }
            points
        }
        Cuts::Some(most) => {
            let spread = spread(points.len(), most);
            let mut at = 0;
            points.retain(|_| {
                let kept = spread.binary_search(&at).is_ok();
                at += 1;
                kept
            });
            for point in &mut points {
                point.cuts = 1;
            }
            points
        }
    }
}

/// At most `most` of `count` places, evenly spread, the first and the last among them, ascending.
pub fn spread(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    match most {
        0 => Vec::new(),
        1 => vec![count - 1],
        _ => (0..most).map(|at| at * (count - 1) / (most - 1)).collect(),
    }
}

/// One column of one variant.
struct Worker<'a> {
    session: &'a Session,
    plan: &'a Plan,
    variant: usize,
    column: Column,
    cells: BTreeMap<Situation, Cell>,
}

impl Worker<'_> {
    /// The strategy as the walk takes it.
    fn strategy(&self) -> Strategy {
        let plain = self.plan.variants.get(self.variant);
        if plain.is_some_and(Variant::is_plain) {
            self.column.strategy
        } else {
            self.column.resolved
        }
    }

    /// Whether the column is that of the session's own client.
    fn is_client(&self) -> bool {
        self.column.strategy == Strategy::AsClient
    }

    fn once(&mut self, points: &[Point]) {
        let session = self.session;
        let strategy = (self.strategy(), self.is_client());
        let (variant, plan) = (self.variant, self.plan);
        let cells = &mut self.cells;
        interrupt::ask(
            session,
            strategy,
            &plan.policies,
            points,
            &plan.nexts,
            &mut |at, next, told| {
                let (Some(point), Some(next)) = (points.get(at), plan.nexts.get(next)) else {
                    return;
                };
                let situation = Situation {
                    variant,
                    second_cut: false,
                    who: next.who,
                    base: next.base,
                    carries_outputs: point.carries_outputs,
                    stage: point.stage,
                };
                let cell = cells.entry(situation).or_default();
                cell.add(session, point, None, &told);
            },
        );
    }
}

/// Finds the kind that calls can be typed as.
pub fn kind_by_name(name: &str) -> Option<&'static str> {
    let kind = ItemKind::from_type(name);
    let kind = match name {
        "custom" => ItemKind::CustomToolCall,
        "function" => ItemKind::FunctionCall,
        "local_shell" => ItemKind::LocalShellCall,
        _ => kind,
    };
    KINDS.contains(&kind).then(|| kind.name())
}

/// The kinds that calls can be typed as.
pub const KINDS: [ItemKind; 6] = [
    ItemKind::FunctionCall,
    ItemKind::CustomToolCall,
    ItemKind::LocalShellCall,
    ItemKind::ShellCall,
    ItemKind::ApplyPatchCall,
    ItemKind::ComputerCall,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_spread_over_the_whole() {
        assert_eq!(spread(3, 5), [0, 1, 2]);
        assert_eq!(spread(10, 4), [0, 3, 6, 9]);
        assert_eq!(spread(10, 1), [9]);
        assert!(spread(10, 0).is_empty());
    }

    #[test]
    fn kinds_are_found_by_both_names() {
        assert_eq!(kind_by_name("custom"), Some("custom_tool_call"));
        assert_eq!(kind_by_name("local_shell_call"), Some("local_shell_call"));
        assert_eq!(kind_by_name("message"), None);
    }
}
