//! Which entries are shown.

use super::entry::{Entry, Marks, NONE, What};
use super::index::Timeline;

/// What an entry must be to be shown. An empty filter shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of one of these kinds.
    pub kinds: Vec<What>,
    /// About calls whose id contains this.
    pub call: Option<String>,
    /// Of a lane whose name contains this.
    pub lane: Option<String>,
    /// Of this exchange.
    pub exchange: Option<u32>,
    /// A refusal, a cut, a call left open, a problem.
    pub errors: bool,
}

impl Filter {
    /// Reads a filter as it is typed: words `kind:request`, `call:call_x`, `lane:main`, `exchange:3`, `errors`.
    ///
    /// # Errors
    /// The word that is none of these, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for word in text.split_whitespace() {
            match word.split_once(':') {
                Some(("kind", kinds)) => {
                    for name in kinds.split(',') {
                        let kind = What::ALL.into_iter().find(|what| what.name() == name);
                        filter
                            .kinds
                            .push(kind.ok_or_else(|| format!("no kind is called {name}"))?);
                    }
                }
                Some(("call", id)) => filter.call = Some(id.to_owned()),
                Some(("lane", name)) => filter.lane = Some(name.to_owned()),
                Some(("exchange", number)) => {
                    let number = number
                        .parse()
                        .map_err(|_not_a_number| format!("{number} is no number"))?;
                    filter.exchange = Some(number);
                }
                None if word == "errors" => filter.errors = true,
                _ => {
                    return Err(format!(
                        "{word}: a filter is kind:…, call:…, lane:…, exchange:… or errors"
                    ));
                }
            }
        }
        Ok(filter)
    }

    /// Whether everything passes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The filter as it would be typed.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        if !self.kinds.is_empty() {
            let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
            words.push(format!("kind:{}", names.join(",")));
        }
        words.extend(self.call.as_ref().map(|id| format!("call:{id}")));
        words.extend(self.lane.as_ref().map(|name| format!("lane:{name}")));
        words.extend(self.exchange.map(|number| format!("exchange:{number}")));
        if self.errors {
            words.push("errors".to_owned());
        }
        words.join(" ")
    }

    /// Whether an entry passes.
    pub fn passes(&self, timeline: &Timeline, at: u32) -> bool {
        let Some(entry) = timeline.entries.get(at as usize) else {
            return false;
        };
        let kind = self.kinds.is_empty() || self.kinds.contains(&entry.what);
        let exchange = self.exchange.is_none_or(|number| entry.exchange == number);
        let errors = !self.errors
            || entry.marks.has(
                Marks::REFUSAL
                    .with(Marks::CUT)
                    .with(Marks::OPEN)
                    .with(Marks::PROBLEM),
            );
        let lane = self
            .lane
            .as_ref()
            .is_none_or(|name| timeline.lane_name(entry.lane).contains(name.as_str()));
        let call = self.call.as_ref().is_none_or(|id| {
            let changes = timeline.changes_at(at).iter().map(|change| change.call);
            let mut calls = changes.chain(Some(entry.call).filter(|call| *call != NONE));
            calls.any(|call| timeline.call_id(call).contains(id.as_str()))
                || (entry.what == What::Request && Self::carries(timeline, entry, id))
        });
        kind && exchange && errors && lane && call
    }

    /// Whether a request carries an output of a call for the first time.
    fn carries(timeline: &Timeline, entry: &Entry, id: &str) -> bool {
        if !entry.marks.has(Marks::OUTPUT) {
            return false;
        }
        let Some(exchange) = timeline.exchange(entry) else {
            return false;
        };
        timeline.fresh_items(entry, exchange).iter().any(|index| {
            let call = timeline
                .item(entry.file, index.0)
                .and_then(|item| item.call);
            call.is_some_and(|call| timeline.key_id(entry.file, call).contains(id))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reads_back_as_it_was_typed() {
        for text in [
            "",
            "kind:request,event call:call_1 lane:main exchange:3 errors",
            "errors",
        ] {
            assert_eq!(Filter::parse(text).unwrap().words(), text);
        }
        assert!(
            Filter::parse("kind:nonsense")
                .unwrap_err()
                .contains("nonsense")
        );
        assert!(Filter::parse("exchange:x").is_err());
        assert!(Filter::parse("whatever").is_err());
    }
}
