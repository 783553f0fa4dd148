//! Which entries the list shows.

use super::model::Model;
use crate::report::inspect::text::is_quiet;
use crate::timeline::{Marks, What};

/// Works out the rows anew.
pub(super) fn refresh(model: &mut Model) {
    let at = model.entry();
    let timeline = &model.timeline;
    let mut rows = Vec::new();
    let unfiltered = model.filter.is_empty();
    // changes stand in the order of their entries
    let mut changes = timeline.changes().iter().peekable();
    for (number, entry) in timeline.entries.iter().enumerate() {
        let number = number as u32;
        let mut changed = false;
        while changes.next_if(|change| change.entry <= number).is_some() {
            changed = true;
        }
        let shown = (unfiltered || model.filter.passes(timeline, number))
            && (model.all || !is_quiet(timeline, entry) || changed)
            && (entry.exchange == 0
                || entry.what == What::Request
                || entry.marks.has(Marks::TURN)
                || !model.folded.contains(&(entry.file, entry.exchange)));
        if shown || model.revealed.contains(&number) {
            rows.push(number);
        }
    }
    model.rows = rows;
    if let Some(at) = at {
        // the nearest row before it
        let place = model.rows.partition_point(|row| *row <= at);
        model.cursor = place.saturating_sub(1);
    }
    model.cursor = model.cursor.min(model.rows.len().saturating_sub(1));
}
