//! Codex's settings: `config.toml`, profiles, and `-c` on top of them.

use toml::{Table, Value};

use super::arguments::Said;
use crate::client::home::Home;

/// Settings as Codex would put them together.
#[derive(Debug, Default)]
pub(super) struct Settings {
    table: Table,
    /// The profile of the old kind (`[profiles.NAME]`) in force, whose values go before all others.
    profile: Option<String>,
    /// What could not be read.
    pub(super) notes: Vec<String>,
}

impl Settings {
    /// Puts them together.
    pub(super) fn of(home: &Home, said: &Said) -> Self {
        let mut it = Self::default();
        if !said.ignores_config
            && let Some(text) = &home.config
        {
            it.lay("config.toml", text);
        }
        if let Some(profile) = &said.profile
            && let Some(text) = home.profiles.get(profile)
        {
            it.lay(&format!("{profile}.config.toml"), text);
        }
        for (key, value) in &said.settings {
            // as Codex reads it: TOML, or else the text itself
            let value = toml::from_str::<Table>(&format!("it = {value}"))
                .ok()
                .and_then(|mut table| table.remove("it"))
                .unwrap_or_else(|| Value::String(value.trim_matches(['"', '\'']).to_owned()));
            set(&mut it.table, key, value);
        }
        let named = it.table.get("profile").and_then(Value::as_str);
        let profile = said.profile.as_deref().or(named);
        it.profile = profile
            .filter(|profile| in_table(&it.table, &["profiles", profile]).is_some())
            .map(str::to_owned);
        it
    }

    fn lay(&mut self, name: &str, text: &str) {
        match toml::from_str::<Table>(text) {
            Ok(table) => merge(&mut self.table, table),
            Err(_) => self
                .notes
                .push(format!("{name} is no TOML and was not gone by")),
        }
    }

    /// A text at a path, not empty.
    pub(super) fn text(&self, path: &[&str]) -> Option<&str> {
        let value = in_table(&self.table, path)?.as_str()?;
        (!value.trim().is_empty()).then_some(value)
    }

    /// A mark at a path.
    pub(super) fn is_set(&self, path: &[&str]) -> bool {
        in_table(&self.table, path).and_then(Value::as_bool) == Some(true)
    }

    /// Whether there is a table at a path.
    pub(super) fn has_table(&self, path: &[&str]) -> bool {
        in_table(&self.table, path).is_some_and(Value::is_table)
    }

    /// A text at the top, or in the profile of the old kind in force; with the path it stands at.
    pub(super) fn top(&self, key: &str) -> (Vec<String>, Option<&str>) {
        if let Some(profile) = &self.profile
            && let Some(value) = self.text(&["profiles", profile, key])
        {
            return (
                vec!["profiles".to_owned(), profile.clone(), key.to_owned()],
                Some(value),
            );
        }
        (vec![key.to_owned()], self.text(&[key]))
    }
}

fn in_table<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(*first)?;
    if rest.is_empty() {
        return Some(value);
    }
    in_table(value.as_table()?, rest)
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Sets a value at a dotted path. Codex splits at every dot, quoted or not (observed with all four versions).
fn set(table: &mut Table, key: &str, value: Value) {
    let Some((first, rest)) = key.split_once('.') else {
        let mut above = Table::new();
        above.insert(key.to_owned(), value);
        return merge(table, above);
    };
    let below = table
        .entry(first)
        .or_insert_with(|| Value::Table(Table::new()));
    if !below.is_table() {
        *below = Value::Table(Table::new());
    }
    if let Some(below) = below.as_table_mut() {
        set(below, rest, value);
    }
}
