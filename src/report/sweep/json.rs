//! The document of `replay sweep` (`docs/json.md`).

use serde_json::{Value, json};

use super::Swept;
use crate::report::json::{SCHEMA, contract};
use crate::strategy::interrupt::Base;
use crate::sweep::{Cell, Example};

/// The document.
pub fn json(swept: &Swept<'_>) -> Value {
    let sweep = swept.sweep;
    let mut cells = Vec::new();
    for (situation, row) in &sweep.rows {
        for (column, found) in sweep.columns.iter().zip(row) {
            let Some(found) = found else { continue };
            let mut value = cell(found);
            if let Some(object) = value.as_object_mut() {
                let variant = sweep.variants.get(situation.variant);
                object.insert(
                    "key".to_owned(),
                    sweep.key(situation, column.strategy).into(),
                );
                object.insert("strategy".to_owned(), column.strategy.name().into());
                object.insert("who".to_owned(), situation.who.name().into());
                object.insert("base".to_owned(), json!(situation.base.map(Base::name)));
                object.insert("stage".to_owned(), situation.stage.name().into());
                object.insert("second_stream".to_owned(), situation.carries_outputs.into());
                object.insert("second_cut".to_owned(), situation.second_cut.into());
                object.insert("kind".to_owned(), json!(variant.and_then(|it| it.kind)));
                object.insert(
                    "ids".to_owned(),
                    json!(variant.and_then(|it| it.ids.clone())),
                );
                object.insert(
                    "transport".to_owned(),
                    json!(variant.and_then(|it| it.transport)),
                );
            }
            cells.push(value);
        }
    }
    json!({
        "schema": SCHEMA,
        "path": swept.path,
        "source": swept.source,
        "strategy": swept.chosen.name(),
        "strategies": sweep.columns.iter().map(|column| json!({
            "name": column.strategy.name(), "resolved": column.resolved.name(),
        })).collect::<Vec<_>>(),
        "cuts": sweep.cuts,
        "states": sweep.points,
        "judged": sweep.judged,
        "first_cuts": sweep.first_cuts,
        "failing": swept.failing().map(|(situation, _)| sweep.key(situation, swept.chosen)).collect::<Vec<_>>(),
        "baseline": swept.known.is_some(),
        "base_assumed": sweep.base_assumed,
        "contract": swept.contract.map(contract),
        "cells": cells,
    })
}

fn cell(cell: &Cell) -> Value {
    json!({
        "mark": cell.mark().0.name(),
        "fails": cell.fails(),
        "cuts": cell.cuts,
        "accepted": cell.accepted,
        "repaired": cell.repaired,
        "refused": cell.refused,
        "depends": cell.depends,
        "unknown": cell.unknown,
        "loops": cell.loops,
        "rules": cell.rules,
        "depends_on": cell.policies,
        "outputs_lost": cell.outputs_lost,
        "with_falsehoods": cell.with_falsehoods,
        "false_statements": cell.false_statements,
        "items_lost": cell.items_lost,
        "requests": cell.requests,
        "smallest": cell.smallest.as_ref().map(example),
        "smallest_false": cell.smallest_false.as_ref().map(example),
    })
}

fn example(it: &Example) -> Value {
    json!({
        "exchange": it.exchange.filter(|_| it.behind.is_none()),
        "line": it.line,
        "who": it.who,
        "event": it.event,
        "first_cut": it.behind.as_deref().map(example),
        "call_id": it.call_id,
        "rule": it.rule,
        "message": it.message,
        "depends": it.depends,
        "accepting": it.accepting,
        "loops": it.loops,
    })
}
