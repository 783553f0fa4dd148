//! What is set aside, and how that is switched.

use std::collections::BTreeSet;

/// One row of the table of what is set aside by default.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name under which it is switched.
    pub name: &'static str,
    /// What it is about, in words.
    pub what: &'static str,
    /// Names of members that are set aside wherever they stand, but not in JSON that stands in a text.
    pub members: &'static [&'static str],
    /// Whether it can be compared in the layer of meaning; the others exist only event by event.
    pub meaning: bool,
}

const fn row(name: &'static str, what: &'static str, members: &'static [&'static str]) -> Row {
    Row {
        name,
        what,
        members,
        meaning: true,
    }
}

/// The table.
pub const ROWS: [Row; 13] = [
    row(
        "ids",
        "the spelling of ids: they are compared under one consistent renaming",
        &[],
    ),
    row(
        "times",
        "points in time and durations, and the day in Codex's environment context",
        &[
            "at_us",
            "completed_at",
            "completed_at_ms",
            "created_at",
            "current_date",
            "duration",
            "duration_ms",
            "head_at_us",
            "started_at",
            "started_at_ms",
            "time_to_first_token_ms",
            "timestamp",
            "updated_at",
        ],
    ),
    row("usage", "token counts", &["token_usage", "usage"]),
    row(
        "metadata",
        "what clients say about themselves",
        &[
            "client_metadata",
            "internal_chat_message_metadata_passthrough",
        ],
    ),
    row("headers", "headers of requests", &[]),
    row(
        "rate-limits",
        "rate limits, as frames and as members",
        &["rate_limits"],
    ),
    row(
        "keep-alives",
        "comments and events that keep a connection alive",
        &[],
    ),
    row(
        "codex-output",
        "in outputs of Codex tools: chunk ids, wall times, metadata.duration_seconds",
        &[],
    ),
    row("nulls", "members that are null", &[]),
    row(
        "beside",
        "rollout lines and client events that a recording holds beside the wire",
        &[],
    ),
    row("other-requests", "requests that ask for no response", &[]),
    Row {
        name: "obfuscation",
        what: "padding of streamed pieces",
        members: &["obfuscation"],
        meaning: false,
    },
    Row {
        name: "sequence",
        what: "numbers of streamed events",
        members: &["sequence_number"],
        meaning: false,
    },
];

/// Which row a whole event belongs to.
pub(super) const HEADERS: u8 = 4;
pub(super) const RATE_LIMITS: u8 = 5;
pub(super) const KEEP_ALIVES: u8 = 6;
pub(super) const USAGE: u8 = 2;
pub(super) const BESIDE: u8 = 9;
pub(super) const OTHER: u8 = 10;

/// A path that cannot be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuleError {
    /// It is empty, or a part of it is.
    #[error("'{0}' is no path")]
    NoPath(String),
    /// The row exists only where events are compared one by one.
    #[error(
        "'{0}' is not compared in the layer of meaning, where streamed pieces are put together"
    )]
    NotInMeaning(String),
}

/// What is set aside, with what the user switched.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Rows that are set aside.
    rows: [bool; ROWS.len()],
    members: BTreeSet<String>,
    ignored: Vec<Vec<String>>,
    kept: Vec<Vec<String>>,
    /// Items as files hold them: without the ids and states that only the wire has.
    pub(super) disk: bool,
}

impl Default for Rules {
    fn default() -> Self {
        let mut rules = Self {
            rows: [true; ROWS.len()],
            members: BTreeSet::new(),
            ignored: Vec::new(),
            kept: Vec::new(),
            disk: false,
        };
        rules.collect();
        rules
    }
}

impl Rules {
    /// Nothing is set aside.
    pub fn strict() -> Self {
        Self {
            rows: [false; ROWS.len()],
            members: BTreeSet::new(),
            ..Self::default()
        }
    }

    fn collect(&mut self) {
        self.members = ROWS
            .iter()
            .zip(self.rows)
            .filter(|(_, aside)| *aside)
            .flat_map(|(row, _)| row.members)
            .map(|name| (*name).to_owned())
            .collect();
    }

    /// Sets a row, or whatever stands at a path, aside.
    ///
    /// # Errors
    /// [`RuleError::NoPath`].
    pub fn ignore(&mut self, path: &str) -> Result<(), RuleError> {
        self.switch(path, true)
    }

    /// Compares a row, or whatever stands at a path, though it would be set aside.
    ///
    /// # Errors
    /// See [`RuleError`]; `streamed` says whether events are compared one by one.
    pub fn keep(&mut self, path: &str, streamed: bool) -> Result<(), RuleError> {
        let row = ROWS
            .iter()
            .find(|row| row.name == path || row.members.contains(&path));
        if row.is_some_and(|row| !row.meaning) && !streamed {
            return Err(RuleError::NotInMeaning(path.to_owned()));
        }
        self.switch(path, false)
    }

    fn switch(&mut self, path: &str, aside: bool) -> Result<(), RuleError> {
        if let Some(at) = ROWS.iter().position(|row| row.name == path) {
            if let Some(row) = self.rows.get_mut(at) {
                *row = aside;
            }
            self.collect();
            return Ok(());
        }
        let path_parts: Vec<String> = path
            .replace('[', ".")
            .replace(']', "")
            .split('.')
            .map(str::to_owned)
            .collect();
        if path_parts.iter().any(String::is_empty) {
            return Err(RuleError::NoPath(path.to_owned()));
        }
        if aside {
            self.ignored.push(path_parts);
        } else {
            self.kept.push(path_parts);
        }
        Ok(())
    }

    /// Whether a row is set aside.
    pub fn row(&self, name: &str) -> bool {
        let at = ROWS.iter().position(|row| row.name == name);
        at.is_some_and(|at| self.rows.get(at) == Some(&true))
    }

    pub(super) fn row_at(&self, at: u8) -> bool {
        self.rows.get(at as usize) == Some(&true)
    }

    /// Whether the member at `path` is set aside; `quoted` says that it stands in JSON inside a text.
    pub(super) fn aside(&self, path: &Path<'_>, quoted: bool) -> bool {
        let Seg::Key(_) = path.seg else {
            return !self.ignored.is_empty() && self.ignored.iter().any(|it| path.matches(it));
        };
        if !self.kept.is_empty() {
            if self.keeps(path) || self.kept.iter().any(|it| path.leads_to(it)) {
                return false;
            }
            if path.and_above().skip(1).any(|it| self.base(it, quoted)) {
                return true;
            }
        }
        self.base(path, quoted)
    }

    /// Whether the user asked for what stands at a place, or for something around it.
    pub(super) fn keeps(&self, path: &Path<'_>) -> bool {
        !self.kept.is_empty()
            && path
                .and_above()
                .any(|path| self.kept.iter().any(|it| path.matches(it)))
    }

    /// The same without regard to what is kept below or above.
    fn base(&self, path: &Path<'_>, quoted: bool) -> bool {
        let Seg::Key(name) = path.seg else {
            return false;
        };
        if !quoted && self.members.contains(name) && !path.is_in_schema() {
            return true;
        }
        if name == "duration_seconds"
            && self.rows.get(7) == Some(&true)
            && path.is_below("metadata")
            && path.is_in_item_output()
        {
            return true;
        }
        if name == "headers" && path.depth() == 2 && path.top() == "request" && self.row_at(HEADERS)
        {
            return true;
        }
        if self.disk && !quoted && path.depth() == 2 && matches!(name, "id" | "status" | "placed") {
            return true;
        }
        !self.ignored.is_empty() && self.ignored.iter().any(|it| path.matches(it))
    }

    /// Whether a part of an item is `null`, or says nothing, and that makes no difference.
    pub(super) fn nothing(&self, node: &super::json::Node<'_>, quoted: bool) -> bool {
        use super::json::Node;
        match node {
            Node::Null => !quoted && self.row("nulls"),
            Node::List(list) => self.disk && !quoted && list.is_empty(),
            _ => false,
        }
    }
}

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seg<'p> {
    Key(&'p str),
    Index(usize),
}

/// A place in an event, as the way to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'p> {
    pub(super) parent: Option<&'p Path<'p>>,
    pub(super) seg: Seg<'p>,
    /// Equal ways have equal numbers.
    pub(super) hash: u64,
}

impl<'p> Path<'p> {
    pub(super) fn root(name: &'p str) -> Self {
        Self {
            parent: None,
            seg: Seg::Key(name),
            hash: crate::ids::fingerprint(name.as_bytes()),
        }
    }

    pub(super) fn key(&'p self, name: &'p str) -> Path<'p> {
        let own = crate::ids::fingerprint(name.as_bytes());
        Path {
            parent: Some(self),
            seg: Seg::Key(name),
            hash: mix(self.hash, own),
        }
    }

    pub(super) fn index(&'p self, at: usize) -> Path<'p> {
        Path {
            parent: Some(self),
            seg: Seg::Index(at),
            hash: mix(self.hash, at as u64 + 1),
        }
    }

    pub(super) fn depth(&self) -> usize {
        1 + self.parent.map_or(0, Path::depth)
    }

    /// The name of the nearest member at or above the place.
    pub(super) fn name(&self) -> &'p str {
        match self.seg {
            Seg::Key(name) => name,
            Seg::Index(_) => self.parent.map_or("", |it| it.name()),
        }
    }

    pub(super) fn top(&self) -> &'p str {
        match (self.parent, self.seg) {
            (Some(parent), _) => parent.top(),
            (None, Seg::Key(name)) => name,
            (None, Seg::Index(_)) => "",
        }
    }

    fn is_below(&self, name: &str) -> bool {
        self.parent.is_some_and(|it| it.name() == name)
    }

    /// Whether the place lies in the `output` of an item.
    pub(super) fn is_in_item_output(&self) -> bool {
        self.member() == Some("output")
    }

    /// Whether the place lies in the schema of a tool or of an answer, where members bear the names of parameters.
    fn is_in_schema(&self) -> bool {
        matches!(self.member(), Some("tools" | "text"))
    }

    /// Whether the place lies in the `content` of an item.
    pub(super) fn is_in_item_content(&self) -> bool {
        self.member() == Some("content")
    }

    /// The member of the event that the place lies in.
    fn member(&self) -> Option<&'p str> {
        let mut at = self;
        while let Some(parent) = at.parent {
            if parent.parent.is_none() {
                return match at.seg {
                    Seg::Key(name) => Some(name),
                    Seg::Index(_) => None,
                };
            }
            at = parent;
        }
        None
    }

    /// The place and those it lies in.
    fn and_above(&self) -> impl Iterator<Item = &Path<'p>> {
        std::iter::successors(Some(self), |it| it.parent)
    }

    /// Whether a written path of several steps means something inside of this place.
    fn leads_to(&self, wanted: &[String]) -> bool {
        let depth = self.depth();
        let inside = |wanted: Option<&[String]>| wanted.is_some_and(|it| self.matches_whole(it));
        depth >= 2
            && wanted.len() >= 2
            && (wanted.len() > depth && inside(wanted.get(..depth))
                || wanted.len() > depth - 1 && depth >= 2 && inside(wanted.get(..depth - 1)))
    }

    fn segs(&self, into: &mut Vec<Seg<'p>>) {
        if let Some(parent) = self.parent {
            parent.segs(into);
        }
        into.push(self.seg);
    }

    /// Whether a written path means this place: a single name means every member of that name; a longer path begins at
    /// the kind of the event, or at its members.
    fn matches(&self, wanted: &[String]) -> bool {
        if let [only] = wanted {
            return matches!(self.seg, Seg::Key(name) if name == only) && self.parent.is_some();
        }
        self.matches_whole(wanted)
    }

    /// The same for a path of any number of steps.
    fn matches_whole(&self, wanted: &[String]) -> bool {
        let depth = self.depth();
        if depth != wanted.len() && depth != wanted.len() + 1 {
            return false;
        }
        let mut segs = Vec::with_capacity(depth);
        self.segs(&mut segs);
        let skip = depth - wanted.len();
        segs.iter().skip(skip).zip(wanted).all(|(seg, wanted)| {
            wanted == "*"
                || match seg {
                    Seg::Key(name) => name == wanted,
                    Seg::Index(at) => wanted.parse() == Ok(*at),
                }
        })
    }

    /// The place as people write it, without the kind of the event.
    pub(super) fn shown(&self) -> String {
        let mut segs = Vec::new();
        self.segs(&mut segs);
        let mut out = String::new();
        for seg in segs.iter().skip(1) {
            match seg {
                Seg::Key(name) => {
                    if !out.is_empty() {
                        out.push('.');
                    }
                    out.push_str(name);
                }
                Seg::Index(at) => {
                    out.push('[');
                    out.push_str(&at.to_string());
                    out.push(']');
                }
            }
        }
        out
    }
}

pub(super) fn mix(a: u64, b: u64) -> u64 {
    // the finaliser of SplitMix64 over both
    let mut z = a.rotate_left(23) ^ b.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_what_they_say() {
        let root = Path::root("item");
        let content = root.key("content");
        let first = content.index(0);
        let text = first.key("text");
        assert_eq!(text.shown(), "content[0].text");
        let means = |path: &str| {
            let mut rules = Rules::default();
            rules.ignore(path).unwrap();
            rules.aside(&text, false)
        };
        for path in [
            "text",
            "item.content[0].text",
            "content.*.text",
            "*.*.*.text",
        ] {
            assert!(means(path), "{path}");
        }
        for path in [
            "item",
            "content",
            "content[1].text",
            "request.content[0].text",
        ] {
            assert!(!means(path), "{path}");
        }
        assert!(Rules::default().ignore("a..b").is_err());
    }

    #[test]
    fn a_parameter_is_no_time() {
        let rules = Rules::default();
        for top in ["request", "response", "item"] {
            let root = Path::root(top);
            assert!(rules.aside(&root.key("timestamp"), false));
            let (tools, text) = (root.key("tools"), root.key("text"));
            let tool = tools.index(0);
            let parameters = tool.key("parameters");
            for parent in [parameters.key("properties"), text.key("format")] {
                assert!(!rules.aside(&parent.key("timestamp"), false), "{top}");
                assert!(!rules.aside(&parent.key("usage"), false), "{top}");
            }
        }
    }

    #[test]
    fn rows_are_switched_by_name_and_members_by_path() {
        let root = Path::root("response");
        let usage = root.key("usage");
        let mut rules = Rules::default();
        assert!(rules.aside(&usage, false) && !rules.aside(&usage, true));
        rules.keep("usage", false).unwrap();
        assert!(!rules.aside(&usage, false));
        assert!(!Rules::strict().aside(&usage, false));
        assert_eq!(
            rules.keep("obfuscation", false),
            Err(RuleError::NotInMeaning("obfuscation".into()))
        );
        assert!(rules.keep("obfuscation", true).is_ok());
    }
}
