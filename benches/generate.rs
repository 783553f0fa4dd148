//! Rollouts of any size, as Codex writes them since 2026-06 (E4), for measuring.
//!
//! Lines have about 1.2 KB on average and two thirds of them are items, each with an id. The same seed gives the same
//! bytes.

use std::io::{self, Write};

/// What a rollout is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// At least so many bytes are written.
    pub(crate) bytes: u64,
    /// Rollouts of another seed have other texts.
    pub(crate) seed: u64,
    /// How many of the first turns are interrupted while a call of theirs is open.
    pub(crate) open: u32,
    /// Requests in a turn, from and below.
    pub(crate) requests: (u64, u64),
    /// Calls that a response asks for, from and below.
    pub(crate) calls: (u64, u64),
}

impl Shape {
    /// A long session in which every call is answered; a request every 9 KB.
    pub(crate) fn long(bytes: u64) -> Self {
        Self {
            bytes,
            seed: 7,
            open: 0,
            requests: (4, 16),
            calls: (1, 4),
        }
    }

    /// Many short turns; a request every 17 KB, so 12,000 in 200 MB.
    pub(crate) fn short_turns(bytes: u64, open: u32) -> Self {
        Self {
            bytes,
            seed: 7,
            open,
            requests: (1, 4),
            calls: (4, 9),
        }
    }
}

/// Writes a rollout and returns how many requests its client sent.
pub(crate) fn rollout(out: &mut impl Write, shape: Shape) -> io::Result<u64> {
    let mut writer = Writer {
        out,
        written: 0,
        ordinal: 0,
        random: shape.seed | 1,
        text: String::new(),
    };
    writer.meta()?;
    for _ in 0..shape.open {
        writer.interrupted()?;
    }
    let mut requests = u64::from(shape.open);
    while writer.written < shape.bytes {
        requests += writer.turn(shape)?;
    }
    Ok(requests)
}

const WORDS: [&str; 24] = [
    "the",
    "session",
    "reads",
    "a",
    "file",
    "and",
    "writes",
    "its",
    "output",
    "to",
    "src/main.rs",
    "fn",
    "let",
    "error",
    "warning:",
    "test",
    "passed",
    "\\\"quoted\\\"",
    "\\n",
    "\\n    ",
    "call",
    "stream",
    "ends",
    "here\\n",
];

struct Writer<'o, W> {
    out: &'o mut W,
    written: u64,
    ordinal: u64,
    random: u64,
    text: String,
}

impl<W: Write> Writer<'_, W> {
    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn below(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }

    /// Words of a text, escaped for JSON.
    fn words(&mut self, bytes: u64) -> String {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        while (text.len() as u64) < bytes {
            let at = self.next() as usize % WORDS.len();
            text.push_str(WORDS.get(at).copied().unwrap_or("word"));
            text.push(' ');
        }
        text
    }

    fn base64(&mut self, bytes: u64) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::with_capacity(bytes as usize);
        while (text.len() as u64) < bytes {
            let mut random = self.next();
            for _ in 0..10 {
                let letter = LETTERS.get((random & 63) as usize).copied().unwrap_or(b'A');
                text.push(char::from(letter));
                random >>= 6;
            }
        }
        text
    }

    fn id(&mut self) -> String {
        format!(
            "01a1fa9b-{:04x}-7{:03x}-8{:03x}-{:012x}",
            self.next() & 0xffff,
            self.next() & 0xfff,
            self.next() & 0xfff,
            self.next() & 0xffff_ffff_ffff
        )
    }

    fn line(&mut self, kind: &str, payload: &str, item: bool) -> io::Result<()> {
        let metadata = if item {
            format!(
                r#","metadata":{{"history_sequence":{0},"sampled_through_sequence":{0},"client_authored":false}}"#,
                self.ordinal
            )
        } else {
            String::new()
        };
        let line = format!(
            r#"{{"timestamp":"2026-11-20T20:17:38.{:03}Z","ordinal":{},"type":"{kind}","payload":{payload}{metadata}}}"#,
            self.ordinal % 1000,
            self.ordinal
        );
        self.ordinal += 1;
        self.written += line.len() as u64 + 1;
        self.out.write_all(line.as_bytes())?;
        self.out.write_all(b"\n")
    }

    fn meta(&mut self) -> io::Result<()> {
        let (id, text) = (self.id(), self.words(12_000));
        self.line(
            "session_meta",
            &format!(
                r#"{{"session_id":"{id}","id":"{id}","timestamp":"2026-11-20T20:17:38.727Z","cwd":"/home/dev/project","originator":"codex_exec","cli_version":"0.169.0","source":"exec","thread_source":"user","model_provider":"openai","base_instructions":{{"text":"{text}"}},"history_mode":"paginated"}}"#
            ),
            false,
        )
    }

    fn message(&mut self, role: &str, kind: &str, start: &str, bytes: u64) -> io::Result<()> {
        let (id, turn, text) = (self.id(), self.id(), self.words(bytes));
        let payload = format!(
            r#"{{"type":"message","id":"msg_{id}","role":"{role}","content":[{{"type":"{kind}","text":"{start}{text}"}}],"internal_chat_message_metadata_passthrough":{{"turn_id":"{turn}"}}}}"#
        );
        self.text = text;
        self.line("response_item", &payload, true)
    }

    fn event(&mut self, payload: &str) -> io::Result<()> {
        self.line("event_msg", payload, false)
    }

    fn begin_turn(&mut self) -> io::Result<()> {
        let turn = self.id();
        self.event(&format!(
            r#"{{"type":"task_started","turn_id":"{turn}","started_at":1795205861,"model_context_window":258400}}"#
        ))?;
        let bytes = self.below(200, 900);
        self.message(
            "developer",
            "input_text",
            "<permissions instructions>",
            bytes,
        )?;
        self.message("user", "input_text", "<environment_context>", 300)?;
        let text = self.words(700);
        let context = format!(
            r#"{{"turn_id":"{turn}","cwd":"/home/dev/project","approval_policy":"never","sandbox_policy":{{"type":"danger-full-access"}},"model":"gpt-5.1-codex","effort":"high","summary":"auto","user_instructions":"{text}"}}"#
        );
        self.text = text;
        self.line("turn_context", &context, false)?;
        let bytes = self.below(40, 700);
        self.message("user", "input_text", "please ", bytes)
    }

    fn reasoning(&mut self) -> io::Result<()> {
        let bytes = self.below(600, 1900);
        let (id, sealed) = (self.id(), self.base64(bytes));
        self.line(
            "response_item",
            &format!(
                r#"{{"type":"reasoning","id":"rs_{id}","summary":[{{"type":"summary_text","text":"**Looking around**"}}],"content":null,"encrypted_content":"{sealed}"}}"#
            ),
            true,
        )
    }

    /// Writes a call and returns its id.
    fn call(&mut self) -> io::Result<String> {
        let (id, call, turn) = (self.id(), format!("call_{}", self.base64(20)), self.id());
        let bytes = self.below(40, 500);
        let text = self
            .words(bytes)
            .replace("\\\"", "\\\\\\\"")
            .replace("\\n", "\\\\n");
        let payload = format!(
            r#"{{"type":"function_call","status":"completed","id":"fc_{id}","name":"exec_command","arguments":"{{\"cmd\":\"{text}\",\"yield_time_ms\":1000}}","call_id":"{call}","internal_chat_message_metadata_passthrough":{{"turn_id":"{turn}"}}}}"#
        );
        self.line("response_item", &payload, true)?;
        Ok(call)
    }

    fn output(&mut self, call: &str) -> io::Result<()> {
        let bytes = match self.next() % 8 {
            0 => self.below(3000, 7500),
            1 | 2 => self.below(1000, 3000),
            _ => self.below(60, 700),
        };
        let (id, turn, text) = (self.id(), self.id(), self.words(bytes));
        let payload = format!(
            r#"{{"type":"function_call_output","id":"fco_{id}","call_id":"{call}","output":"Chunk ID: 2b48ec\nWall time: 0.0512 seconds\nProcess exited with code 0\nOriginal token count: {bytes}\nOutput:\n{text}","internal_chat_message_metadata_passthrough":{{"turn_id":"{turn}"}}}}"#
        );
        self.text = text;
        self.line("response_item", &payload, true)
    }

    fn completed(&mut self, call: &str) -> io::Result<()> {
        let (thread, turn) = (self.id(), self.id());
        let bytes = self.below(60, 1200);
        let text = self.words(bytes);
        let payload = format!(
            r#"{{"type":"item_completed","thread_id":"{thread}","turn_id":"{turn}","item":{{"type":"CommandExecution","id":"{call}","process_id":"20223","command":["/bin/bash","-lc","echo"],"cwd":"file:///home/dev/project","parsed_cmd":[{{"type":"unknown","cmd":"echo"}}],"source":"unified_exec_startup","status":"completed","aggregated_output":"{text}","exit_code":0,"duration":{{"secs":0,"nanos":4851}}}},"started_at_ms":1795205861272,"completed_at_ms":1795205861273}}"#
        );
        self.text = text;
        self.event(&payload)
    }

    fn token_count(&mut self) -> io::Result<()> {
        let usage = r#"{"input_tokens":81230,"cached_input_tokens":70144,"cache_write_input_tokens":0,"output_tokens":220,"reasoning_output_tokens":64,"total_tokens":81450}"#;
        self.event(&format!(
            r#"{{"type":"token_count","info":{{"total_token_usage":{usage},"last_token_usage":{usage},"model_context_window":258400}},"rate_limits":{{"primary":{{"used_percent":12.5,"window_minutes":300,"resets_at":1795220000}},"secondary":null}}}}"#
        ))
    }

    /// A turn that ends while its only call has no output.
    fn interrupted(&mut self) -> io::Result<()> {
        self.begin_turn()?;
        self.call()?;
        let turn = self.id();
        self.event(&format!(
            r#"{{"type":"turn_aborted","turn_id":"{turn}","reason":"interrupted"}}"#
        ))
    }

    /// A whole turn; returns how many requests it took.
    fn turn(&mut self, shape: Shape) -> io::Result<u64> {
        self.begin_turn()?;
        let requests = self.below(shape.requests.0, shape.requests.1);
        for _ in 0..requests {
            self.reasoning()?;
            let mut calls = Vec::new();
            for _ in 0..self.below(shape.calls.0, shape.calls.1) {
                calls.push(self.call()?);
            }
            self.token_count()?;
            for call in &calls {
                if self.next().is_multiple_of(2) {
                    self.completed(call)?;
                }
                self.output(call)?;
            }
        }
        let bytes = self.below(200, 1500);
        self.message("assistant", "output_text", "Done. ", bytes)?;
        let (turn, text) = (self.id(), self.words(200));
        let payload = format!(
            r#"{{"type":"task_complete","turn_id":"{turn}","last_agent_message":"{text}","duration_ms":1000}}"#
        );
        self.text = text;
        self.event(&payload)?;
        // the answer after the last output is a request too
        Ok(requests + 1)
    }
}
