//! The endpoint as one server of one world: what a served mock says to each request, without a socket.
//!
//! [`Server`] is told every request and how its answer went, and plans each answer: a refusal in the API's words, or the
//! frames of a stream. It judges in one [`World`]; [`Rules`] says in which, and what else is chosen.

pub mod answer;
pub mod fault;
pub mod form;
pub mod journal;
pub mod live;
pub mod object;
pub mod plan;
pub mod script;
pub mod server;
pub mod shelf;
pub mod stream;
pub mod tape;

use crate::contract::{Policy, World};
use crate::wire::failure::StreamError;

pub use server::Server;

/// Whose streams are imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Every member that the API description or Open Responses names; a function tool that is offered is called.
    Full,
    /// What OpenAI's endpoint sends.
    #[default]
    OpenAi,
    /// What the ChatGPT backend sends to Codex: `output: []` in `completed`, `codex.*` events, rules of its own.
    CodexBackend,
}

impl Profile {
    /// All profiles with their names.
    pub const ALL: [(&'static str, Self); 3] = [
        ("full", Self::Full),
        ("openai", Self::OpenAi),
        ("codex-backend", Self::CodexBackend),
    ];
}

/// A behaviour of servers that can be switched and that changes no judgement of the contract's own rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Habit {
    /// Whether streams end with `data: [DONE]`.
    DoneSentinel,
    /// How an error inside of a stream is spelled.
    StreamError,
    /// Whether outputs may stand anywhere behind their calls.
    Adjacency,
    /// Whether a WebSocket has lanes named by `stream_id`.
    Lanes,
    /// A `web_search_call` in the input that was not finished.
    UnfinishedWebSearch,
}

impl Habit {
    /// All habits.
    pub const ALL: [Self; 5] = [
        Self::DoneSentinel,
        Self::StreamError,
        Self::Adjacency,
        Self::Lanes,
        Self::UnfinishedWebSearch,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::DoneSentinel => "done_sentinel",
            Self::StreamError => "stream_error",
            Self::Adjacency => "adjacency",
            Self::Lanes => "lanes",
            Self::UnfinishedWebSearch => "unfinished_web_search",
        }
    }

    /// The names of its values; the first is the default.
    pub fn values(self) -> &'static [&'static str] {
        match self {
            Self::DoneSentinel => &["off", "on"],
            Self::StreamError => &["nested", "flat", "failed"],
            Self::Adjacency => &["any", "deepseek"],
            Self::Lanes => &["on", "off"],
            Self::UnfinishedWebSearch => &["refuse", "accept"],
        }
    }

    /// What is known, in one sentence.
    pub fn evidence(self) -> &'static str {
        match self {
            Self::DoneSentinel => {
                "OpenAI's recorded streams end without it; Open Responses asks for it; SDKs take both"
            }
            Self::StreamError => {
                "documented flat, observed nested with a response.failed behind it, for some codes response.failed alone"
            }
            Self::Adjacency => {
                "OpenAI pairs by call_id wherever the output stands; DeepSeek wants it directly behind its call"
            }
            Self::Lanes => {
                "the newer guide has lanes by stream_id, the older one and Open Responses one response at a time"
            }
            Self::UnfinishedWebSearch => {
                "the message is quoted by a gateway; when it is raised is inferred"
            }
        }
    }
}

/// What the server goes by.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The world in which it judges.
    pub world: World,
    /// Whose streams it imitates.
    pub profile: Profile,
    /// Whether streams end with `data: [DONE]`.
    pub done_sentinel: bool,
    /// How an error inside of a stream is spelled.
    pub stream_error: StreamError,
    /// Whether outputs must stand directly behind their calls.
    pub adjacent: bool,
    /// Whether a WebSocket has lanes.
    pub lanes: bool,
    /// Whether an unfinished web search in the input is refused.
    pub refuse_unfinished_search: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            world: World::DEFAULT,
            profile: Profile::default(),
            done_sentinel: false,
            stream_error: StreamError::Nested,
            adjacent: false,
            lanes: true,
            refuse_unfinished_search: true,
        }
    }
}

impl Rules {
    /// Takes one `NAME=VALUE`, a policy of the contract or a habit.
    ///
    /// # Errors
    /// A sentence that names what is possible.
    pub fn set(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("'{text}' is not of the form NAME=VALUE"))?;
        let Some(habit) = Habit::ALL.into_iter().find(|it| it.name() == name) else {
            let (policy, value) = Policy::parse(text).map_err(|why| {
                let habits = Habit::ALL.map(Habit::name).join(", ");
                if Policy::ALL.iter().any(|it| it.name() == name) {
                    why
                } else {
                    format!("{why}, {habits}")
                }
            })?;
            self.world = self.world.with(policy, value);
            return Ok(());
        };
        let at = habit.values().iter().position(|it| *it == value);
        let at = at.ok_or_else(|| {
            format!(
                "'{value}' is no value of {name}; values are {}",
                habit.values().join(", ")
            )
        })?;
        match habit {
            Habit::DoneSentinel => self.done_sentinel = at == 1,
            Habit::StreamError => {
                self.stream_error = match at {
                    0 => StreamError::Nested,
                    1 => StreamError::Flat,
                    _ => StreamError::FailedOnly,
                }
            }
            Habit::Adjacency => self.adjacent = at == 1,
            Habit::Lanes => self.lanes = at == 0,
            Habit::UnfinishedWebSearch => self.refuse_unfinished_search = at == 0,
        }
        Ok(())
    }
}

#[cfg(test)]
mod rules_tests {
    use super::*;

    #[test]
    fn policies_and_habits_are_set_by_one_option() {
        let mut rules = Rules::default();
        rules.set("done_sentinel=on").unwrap();
        rules.set("stream_error=flat").unwrap();
        rules.set("output_before_call=refuse").unwrap();
        assert!(rules.done_sentinel && rules.world.refuses(Policy::OutputBeforeCall));
        assert_eq!(rules.stream_error, StreamError::Flat);
        assert!(
            rules
                .set("nothing=x")
                .unwrap_err()
                .contains("done_sentinel")
        );
        assert!(rules.set("lanes=x").unwrap_err().contains("on, off"));
        assert!(rules.set("lanes").unwrap_err().contains("NAME=VALUE"));
        for habit in Habit::ALL {
            for value in habit.values() {
                Rules::default()
                    .set(&format!("{}={value}", habit.name()))
                    .unwrap();
            }
        }
    }
}
