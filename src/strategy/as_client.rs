//! Which strategy the client that wrote a file uses, by its name, version and time (codex.md 3.4, design 4).

use super::Strategy;
use crate::rollout::{Era, Previous, Rollout, Step};
use crate::session::exchange::Transport;
use crate::session::{Client, Recording, Session};
use crate::wire::item::ItemKind;

/// The day #5473 was merged: from then on Codex normalises its prompt.
const NORMALIZE_SINCE: &str = "2025-10-22";
/// The first release behind it.
const NORMALIZE_VERSION: (u64, u64, u64) = (0, 48, 0);
/// The first release with custom tool calls, which answered every missing output as if it were one.
const CUSTOM_VERSION: (u64, u64, u64) = (0, 24, 0);

/// Returns the strategy of the session's own client; [`Strategy::None`] where the client is not known to repair.
pub fn resolve(session: &Session) -> Strategy {
    match session {
        Session::Rollout(rollout) => of_rollout(rollout),
        Session::Recording(recording) => of_recording(recording),
    }
}

fn of_rollout(rollout: &Rollout) -> Strategy {
    match rollout.era {
        Era::E0 => Strategy::PendingAborts,
        Era::E1 => Strategy::PendingIds,
        Era::E2 if names_previous(rollout) => Strategy::PendingIds,
        Era::E2 => Strategy::HistoryScan,
        Era::E3 if before_normalize(rollout) => {
            let custom = rollout
                .items
                .iter()
                .any(|item| item.kind == ItemKind::CustomToolCall)
                || version(rollout).is_some_and(|version| version >= CUSTOM_VERSION);
            if custom {
                Strategy::HistoryScan045
            } else {
                Strategy::HistoryScan
            }
        }
        Era::E3 | Era::E4 => Strategy::Normalize,
    }
}

/// Whether the state lines have the key `previous_response_id`, null or not.
pub(crate) fn names_previous(rollout: &Rollout) -> bool {
    rollout
        .steps
        .iter()
        .any(|step| matches!(step, Step::State(_, Previous::Null | Previous::Response(_))))
}

/// Whether an E3 file was written before #5473: by its version, else by its time.
pub(crate) fn before_normalize(rollout: &Rollout) -> bool {
    if rollout.meta.recovered {
        // whoever wrote it, today's Codex is to go on with it
        return false;
    }
    match version(rollout) {
        Some(version) if version > (0, 0, 0) => version < NORMALIZE_VERSION,
        _ => rollout
            .meta
            .timestamp
            .as_deref()
            .is_some_and(|time| time < NORMALIZE_SINCE),
    }
}

fn version(rollout: &Rollout) -> Option<(u64, u64, u64)> {
    parse_version(rollout.meta.cli_version.as_deref()?)
}

fn of_recording(recording: &Recording) -> Strategy {
    let client = &recording.client;
    if client.name.as_deref() != Some("codex") || client.version.is_some() {
        return of_client(client);
    }
    // 2025 releases sent no user agent; 0.8 and before never sent the environment as an item
    let chained = recording.exchanges.iter().any(|exchange| {
        exchange.transport == Transport::Http && exchange.request.previous.is_some()
    });
    let stored = recording
        .exchanges
        .iter()
        .any(|exchange| exchange.request.store == Some(true));
    let environment = recording
        .labels
        .iter()
        .any(|label| label.text.starts_with("<environment_context>"));
    match (chained, stored, environment) {
        (true, _, _) | (false, true, false) => Strategy::PendingIds,
        (false, true, true) => Strategy::HistoryScan,
        (false, false, _) => Strategy::None,
    }
}

/// Whether the client of a recording is known to go on from the last complete response wherever responses are stored, also
/// where no request of the recording shows it (codex.md 3.4: the TypeScript CLI, and Codex to 0.8).
pub(super) fn chains(recording: &Recording) -> bool {
    let known = matches!(
        of_recording(recording),
        Strategy::PendingAborts | Strategy::PendingIds
    );
    let requests = || recording.exchanges.iter().filter(|it| it.request.whole);
    known && requests().all(|it| it.request.store == Some(true))
}

/// What a client has of a turn that was interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Keeps {
    /// Everything that had happened.
    #[default]
    All,
    /// Everything; killed, the id of a response only once its tools have ended, and nothing of what they gave (Codex to
    /// 0.8).
    LateIds,
    /// Only what the user said, in memory and on disk (Codex 0.9 to 0.47, codex.md 1.8).
    Turns,
}

/// What the client of a recording has of a turn that was interrupted.
pub(super) fn keeps(recording: &Recording) -> Keeps {
    match of_recording(recording) {
        Strategy::PendingIds if chains(recording) => Keeps::LateIds,
        Strategy::HistoryScan | Strategy::HistoryScan045 => Keeps::Turns,
        _ => Keeps::All,
    }
}

fn of_client(client: &Client) -> Strategy {
    match (
        client.name.as_deref(),
        client.version.as_deref().and_then(parse_version),
    ) {
        (Some("codex-typescript"), _) => Strategy::PendingAborts,
        (Some("codex"), Some(version)) if version < (0, 9, 0) => Strategy::PendingIds,
        (Some("codex"), Some(version)) if version < CUSTOM_VERSION => Strategy::HistoryScan,
        (Some("codex"), Some(version)) if version < NORMALIZE_VERSION => Strategy::HistoryScan045,
        (Some("codex"), _) => Strategy::Normalize,
        _ => Strategy::None,
    }
}

/// Reads `1.2.3`, whatever follows it.
fn parse_version(text: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = text.split('.').map(|part| {
        let digits = part
            .find(|c: char| !c.is_ascii_digit())
            .map_or(part, |at| part.split_at(at).0);
        digits.parse::<u64>().ok()
    });
    Some((
        numbers.next()??,
        numbers.next()??,
        numbers.next().flatten().unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str, version: &str) -> Client {
        Client {
            name: Some(name.into()),
            version: Some(version.into()),
        }
    }

    #[test]
    fn the_labs_versions_resolve_as_the_table_says() {
        assert_eq!(
            of_client(&client("codex-typescript", "0.1.2504172351")),
            Strategy::PendingAborts
        );
        assert_eq!(of_client(&client("codex", "0.8.0")), Strategy::PendingIds);
        assert_eq!(of_client(&client("codex", "0.20.0")), Strategy::HistoryScan);
        assert_eq!(
            of_client(&client("codex", "0.45.0")),
            Strategy::HistoryScan045
        );
        assert_eq!(of_client(&client("codex", "0.100.0")), Strategy::Normalize);
        assert_eq!(of_client(&client("codex", "0.169.0")), Strategy::Normalize);
        assert_eq!(
            of_client(&client("openai-agents-python", "0.24.0")),
            Strategy::None
        );
        assert_eq!(of_client(&Client::default()), Strategy::None);
    }

    #[test]
    fn versions_with_tails_are_read() {
        assert_eq!(parse_version("0.48.0-alpha.2"), Some((0, 48, 0)));
        assert_eq!(parse_version("0.1"), Some((0, 1, 0)));
        assert_eq!(parse_version("x"), None);
    }
}
