//! What a request that is accepted gets as its answer.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Asked, Otherwise, Reply, Server, turns};
use crate::endpoint::served::Profile;
use crate::endpoint::served::answer::{Answer, smallest};
use crate::endpoint::served::fault::{Cut, How, Stop};
use crate::endpoint::served::journal::Source;
use crate::endpoint::served::live::Ticket;
use crate::endpoint::served::object::Status;
use crate::endpoint::served::plan::{Pace, Planned};
use crate::endpoint::served::script::{Turn, What};
use crate::endpoint::served::stream::{Frames, Template};
use crate::endpoint::served::tape::{Found, Take};
use crate::wire::failure::Failure;
use crate::wire::raw::{Object, array, string};
use crate::wire::request::RequestHead;

/// What is known of the request.
pub(super) struct Wants<'a> {
    pub(super) number: u32,
    pub(super) ticket: Ticket,
    pub(super) lane: Option<String>,
    pub(super) side: bool,
    pub(super) text: &'a str,
}

/// The answer that was chosen.
pub(super) struct Chosen {
    pub(super) plan: Planned,
    pub(super) response: String,
    pub(super) terminal: usize,
    pub(super) good: bool,
    pub(super) turn: Option<turns::Place>,
}

type Choice = Result<Chosen, Box<Reply>>;

impl Server {
    pub(super) fn choose(
        &mut self,
        asked: &Asked<'_>,
        head: &RequestHead<'_>,
        wants: &Wants<'_>,
    ) -> Choice {
        if let Some(text) = asked.headers.get("x-replay-answer") {
            let read = serde_json::from_str::<Value>(text).map_err(|why| why.to_string());
            let turn = match read.and_then(|value| Turn::read(&value)) {
                Ok(turn) => turn,
                Err(why) => {
                    return Err(Box::new(self.wrong_header(
                        wants.number,
                        "x-replay-answer",
                        &why,
                    )));
                }
            };
            self.source(wants, Source::Script(0));
            return self.play_turn(asked, head, wants, &turn, None);
        }
        // a warm-up only opens a response id
        if head.generate == Some(false) {
            let [_, empty] = self.minimal.clone();
            self.source(wants, Source::Minimal);
            return self.play_turn(asked, head, wants, &empty, None);
        }
        if let Some((turn, place)) = self.scripted(head, wants) {
            self.source(wants, Source::Script(place.turn + 1));
            return self.play_turn(asked, head, wants, &turn, Some(place));
        }
        let otherwise = self.settings.otherwise;
        if otherwise == Otherwise::AlwaysUpstream {
            return Err(Box::new(Reply::Upstream(wants.number)));
        }
        if !self.settings.tapes.is_empty() || otherwise != Otherwise::Minimal {
            let lane = wants.lane.as_deref();
            let (node, held) = (wants.ticket.node(), wants.ticket.held());
            let found = self.settings.tapes.find(&mut self.live, node, held, lane);
            match found {
                Found::Take(index) => {
                    if let Some(take) = self.settings.tapes.get(index).cloned() {
                        self.source(wants, Source::Recording(take.exchange));
                        return self.play_take(asked, head, wants, &take);
                    }
                }
                Found::Miss(_) if otherwise == Otherwise::Upstream => {
                    return Err(Box::new(Reply::Upstream(wants.number)));
                }
                Found::Miss(miss) => {
                    let text = miss.text.clone();
                    self.journal.change(wants.number, |it| it.miss = Some(miss));
                    if otherwise == Otherwise::Error {
                        let failure = Failure::invalid(format!("replay: {text}"))
                            .with_status(404)
                            .code("replay_no_match");
                        return Err(Box::new(self.fail(wants.number, failure, false)));
                    }
                }
            }
        }
        self.source(wants, Source::Minimal);
        let script = self.settings.script.as_ref();
        let otherwise = script.and_then(|it| it.otherwise.clone());
        let turn = match otherwise.filter(|_| !wants.side) {
            Some(turn) => turn,
            None => self.smallest_turn(head, wants),
        };
        self.play_turn(asked, head, wants, &turn, None)
    }

    fn source(&mut self, wants: &Wants<'_>, source: Source) {
        self.journal.change(wants.number, |it| it.source = source);
    }

    fn scripted(
        &mut self,
        head: &RequestHead<'_>,
        wants: &Wants<'_>,
    ) -> Option<(Turn, turns::Place)> {
        let script = self.settings.script.as_ref()?;
        let model = head.model.as_deref().unwrap_or("");
        let lane = wants.lane.as_deref();
        let (index, conversation) = script
            .conversations
            .iter()
            .enumerate()
            .find(|(_, it)| it.when.holds(wants.text, model, lane, wants.side))?;
        let place = self
            .turns
            .next(index, lane, &mut self.live, wants.ticket.node());
        let turn = conversation.turns.get(place.turn as usize)?;
        Some((turn.clone(), place))
    }

    /// The smallest valid answer.
    fn smallest_turn(&mut self, head: &RequestHead<'_>, wants: &Wants<'_>) -> Turn {
        let answered = self
            .live
            .last(wants.ticket.node())
            .is_some_and(|it| it.kind.is_output());
        if let Some(answer) = smallest_call(head, self.settings.rules.profile, answered) {
            return Turn::of(&answer);
        }
        let format = head
            .members
            .object("text")
            .and_then(|it| it.object("format"));
        if let Some(format) = format {
            let kind = format.text("type");
            match kind.as_deref() {
                Some("json_object") => return Turn::of(&Answer::text("{}")),
                Some("json_schema") => {
                    let schema = format.value("schema").unwrap_or("{}");
                    let schema = serde_json::from_str(schema).unwrap_or(Value::Null);
                    return Turn::of(&Answer::text(&smallest(&schema, 16).to_string()));
                }
                _ => {}
            }
        }
        let [minimal, _] = &self.minimal;
        minimal.clone()
    }

    fn play_turn(
        &mut self,
        asked: &Asked<'_>,
        head: &RequestHead<'_>,
        wants: &Wants<'_>,
        turn: &Turn,
        place: Option<turns::Place>,
    ) -> Choice {
        let templates = match &turn.what {
            What::Answer(templates) => templates,
            What::Error(failure) => {
                if let Some(place) = &place {
                    self.turns.over(place, false, 0);
                }
                let reply = self.fail(wants.number, failure.clone(), false);
                let Reply::Failure(number, failure, mut headers) = reply else {
                    return Err(Box::new(reply));
                };
                headers.extend(turn.headers.iter().cloned());
                return Err(Box::new(Reply::Failure(number, failure, headers)));
            }
        };
        let plain = head
            .members
            .object("stream_options")
            .and_then(|it| it.flag("include_obfuscation"))
            == Some(false);
        let obfuscate = self.settings.rules.profile == Profile::OpenAi && !plain;
        let [clear, obfuscated] = templates;
        let template = Arc::clone(if obfuscate { obfuscated } else { clear });
        let chosen = self.render(asked, head, wants, &template);
        let mut chosen = self.aim(asked, wants, chosen, turn.cut.as_ref())?;
        chosen.turn = place;
        let delay = match asked.headers.get("x-replay-delay") {
            Some(text) => match text.trim().parse::<u64>() {
                Ok(millis) if millis <= 3_600_000 => Duration::from_millis(millis),
                _ => {
                    let why = "it is no number of milliseconds";
                    let reply = self.wrong_header(wants.number, "x-replay-delay", why);
                    return Err(Box::new(reply));
                }
            },
            None if turn.delay.is_zero() => self.settings.latency,
            None => turn.delay,
        };
        if !delay.is_zero() || !turn.first.is_zero() {
            chosen.plan.pace = Pace::Each {
                first: turn.first,
                each: delay,
            };
        }
        chosen.plan.headers.extend(turn.headers.iter().cloned());
        Ok(chosen)
    }

    fn render(
        &mut self,
        asked: &Asked<'_>,
        head: &RequestHead<'_>,
        wants: &Wants<'_>,
        template: &Template,
    ) -> Chosen {
        let id = self.ids.make("resp_");
        let echo = self.echo(head, wants.text.len(), id.clone(), asked.at);
        let now = self.now(asked.at);
        let stream = head.stream == Some(true) || asked.connection.is_some();
        let rules = self.settings.rules;
        let (frames, extra) = if stream {
            let extra = usize::from(rules.done_sentinel);
            (template.render(&echo, &mut self.ids, &rules, now), extra)
        } else {
            (template.whole(&echo, &mut self.ids, now), 0)
        };
        let terminal = frames.ends.len() - extra.min(frames.ends.len());
        Chosen {
            plan: self.planned(head, wants.number, stream, frames),
            response: id,
            terminal,
            good: template.ends_well(),
            turn: None,
        }
    }

    fn planned(
        &mut self,
        head: &RequestHead<'_>,
        number: u32,
        stream: bool,
        frames: Frames,
    ) -> Planned {
        Planned {
            number,
            status: 200,
            headers: self.headers(head),
            stream,
            frames,
            pace: Pace::Free,
            stop: None,
            stream_error: self.settings.rules.stream_error,
            exact: self.settings.exact,
        }
    }

    /// Sets where the answer is cut: as the request asks for, else as the run or the turn says.
    fn aim(
        &mut self,
        asked: &Asked<'_>,
        wants: &Wants<'_>,
        mut chosen: Chosen,
        of_turn: Option<&Cut>,
    ) -> Choice {
        let creates = self.creates;
        let of_run = || {
            let cuts = &self.settings.cuts;
            cuts.iter().find(|it| it.is_for(creates)).map(|it| &it.what)
        };
        let own;
        let cut = match asked.headers.get("x-replay-cut").map(Cut::parse) {
            Some(Ok(cut)) => {
                own = cut;
                Some(&own)
            }
            Some(Err(why)) => {
                let reply = self.wrong_header(wants.number, "x-replay-cut", &why);
                return Err(Box::new(reply));
            }
            None => of_run().or(of_turn),
        };
        chosen.plan.stop = cut.and_then(|it| it.find(&chosen.plan.frames));
        chosen.plan.exact |= asked.headers.get("x-replay-chunks") == Some("exact");
        Ok(chosen)
    }

    fn play_take(
        &mut self,
        asked: &Asked<'_>,
        head: &RequestHead<'_>,
        wants: &Wants<'_>,
        take: &Take,
    ) -> Choice {
        if take.status >= 400 {
            let mut failure = Failure::of_status(take.status);
            failure.raw = Some(String::from_utf8_lossy(&take.bytes).into());
            return Err(Box::new(self.fail(wants.number, failure, false)));
        }
        let stream = head.stream == Some(true) || asked.connection.is_some();
        let is_stream = take.content_type.contains("event-stream");
        let recorded = take.response.clone();
        let renamed = recorded
            .as_deref()
            .filter(|id| self.live.knows_response(id))
            .map(|old| self.another(old));
        let id = renamed.clone().or(recorded.clone());
        let id = id.unwrap_or_else(|| self.ids.make("resp_"));
        let previous = head.previous.as_deref();
        let frames = self
            .settings
            .tapes
            .frames(take, renamed.as_deref(), previous);
        // another form is asked for than was recorded, or the recorded answer was broken off
        let whole = object_is_whole(&frames);
        let plays = self.settings.tapes.plays_cut(take) || take.complete;
        let as_it_stands = plays && stream == is_stream;
        let object_alone = plays && !stream && is_stream && take.complete && whole;
        if !as_it_stands && !object_alone {
            let answer = Answer {
                items: take
                    .done
                    .iter()
                    .filter_map(|raw| serde_json::from_str(raw).ok())
                    .collect(),
                end: Status::Completed,
                deltas: None,
            };
            let template = Template::new(&answer, false);
            let chosen = self.render(asked, head, wants, &template);
            return self.aim(asked, wants, chosen, None);
        }
        let same_length = frames.bytes.len() == take.bytes.len();
        let frames = if object_alone {
            Frames {
                bytes: frames.object.clone(),
                ends: vec![frames.object.len() as u32],
                items: frames
                    .items
                    .into_iter()
                    .map(|mut it| {
                        (it.added, it.done) = (0, 0);
                        it
                    })
                    .collect(),
                object: frames.object,
                plain: frames.plain,
            }
        } else {
            frames
        };
        let last = (0..frames.ends.len())
            .rev()
            .find(|at| !frames.data(*at).is_empty() && &frames.data(*at)[..] != b"[DONE]");
        let terminal = match last {
            Some(at) if stream => at + 1,
            _ => frames.ends.len(),
        };
        let mut plan = self.planned(head, wants.number, stream, frames);
        let speed = self.settings.speed;
        if same_length && stream && (speed > 0.0 || plan.exact) && !take.chunks.is_empty() {
            let mut before = 0;
            let paced = take.chunks.iter().map(|(end, at)| {
                let passed = at.saturating_sub(before);
                before = *at;
                let wait = if speed > 0.0 {
                    Duration::from_micros(passed).div_f64(speed.max(1e-6))
                } else {
                    Duration::ZERO
                };
                (*end, wait)
            });
            plan.pace = Pace::Recorded(paced.collect());
        }
        if !take.complete {
            plan.stop = Some(Stop {
                frames: plan.frames.ends.len(),
                bytes: plan.frames.bytes.len(),
                how: How::Close,
            });
        }
        let stop = plan.stop;
        let chosen = Chosen {
            plan,
            response: id,
            terminal,
            good: take.complete,
            turn: None,
        };
        let aimed = self.settings.aimed.as_ref();
        let aimed = aimed
            .filter(|rule| rule.is_for(take.exchange))
            .and_then(|rule| rule.what.find(&chosen.plan.frames));
        let mut chosen = self.aim(asked, wants, chosen, None)?;
        chosen.plan.stop = chosen.plan.stop.or(aimed).or(stop);
        Ok(chosen)
    }

    /// An id in place of one that was given out already, of the same length where there is room for it.
    fn another(&mut self, old: &str) -> String {
        let fresh = self.ids.make("resp_");
        match fresh.get(..old.len()) {
            Some(same) if old.len() >= 20 => same.to_owned(),
            _ => fresh,
        }
    }
}

/// Whether a recorded object holds its output (the ChatGPT backend's does not).
fn object_is_whole(frames: &Frames) -> bool {
    let text = std::str::from_utf8(&frames.object).unwrap_or("");
    let output = Object::read(text).and_then(|it| it.array("output"));
    output.is_some_and(|it| it.len() >= frames.items.len())
}

/// A call, where one is required; in the full profile also where a function is offered and nothing was called yet.
fn smallest_call(head: &RequestHead<'_>, profile: Profile, answered: bool) -> Option<Answer> {
    let choice = head.members.value("tool_choice").unwrap_or("\"auto\"");
    let word = string(choice);
    let wanted = Object::read(choice);
    let kind = wanted.as_ref().and_then(|it| it.text("type"));
    let named = wanted.as_ref().and_then(|it| it.text("name"));
    let mode = wanted.as_ref().and_then(|it| it.text("mode"));
    let required = word.as_deref() == Some("required")
        || mode.as_deref() == Some("required")
        || matches!(kind.as_deref(), Some("function" | "custom"));
    let forbidden = word.as_deref() == Some("none") || mode.as_deref() == Some("none");
    let offers = profile == Profile::Full && !answered && !forbidden;
    if !required && !offers {
        return None;
    }
    let tools = head.members.value("tools").and_then(array)?;
    let tools: Vec<Object<'_>> = tools
        .into_iter()
        .filter_map(|raw| Object::read(raw.get()))
        .collect();
    let is = |tool: &&Object<'_>, kind: &str| tool.text("type").as_deref() == Some(kind);
    let fits = |tool: &&Object<'_>| named.is_none() || tool.text("name") == named;
    if let Some(tool) = tools.iter().filter(fits).find(|it| is(it, "function")) {
        let schema = tool.value("parameters").unwrap_or("{\"type\":\"object\"}");
        let schema = serde_json::from_str(schema).unwrap_or(Value::Null);
        let arguments = match smallest(&schema, 16) {
            Value::Object(members) => Value::Object(members),
            _ => Value::Object(serde_json::Map::new()),
        };
        let name = tool.text("name")?;
        return Some(Answer::call(&name, &arguments.to_string()));
    }
    let tool = tools.iter().filter(fits).find(|it| is(it, "custom"))?;
    if !required {
        return None;
    }
    let item = serde_json::json!({"type": "custom_tool_call", "status": "completed", "name": tool.text("name")?, "input": ""});
    Some(Answer {
        items: item.as_object().cloned().into_iter().collect(),
        end: Status::Completed,
        deltas: None,
    })
}
