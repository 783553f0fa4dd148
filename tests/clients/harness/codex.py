"""Codex: `exec` of 0.169.0 over HTTP and WebSocket, and `proto` of 0.8.0, whose interrupts are messages."""

import json
import signal

from . import compare, parts, scripts, verdict
from .parts import expect, until
from .recording import Recording, content, events

OPENING = "Looking."
FIRST = "begin"
# shorter than Codex's own, which is not what is looked at
INSTRUCTIONS = "You are a coding agent. Use the tools you are given."
CONFIG = """model = "gpt-5.1-codex"
model_provider = "scripted"
approval_policy = "never"
sandbox_mode = "danger-full-access"
{instructions}

[model_providers.scripted]
name = "scripted"
base_url = "http://{upstream}/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = 1
stream_idle_timeout_ms = 25000
{more}
"""
MISSING = "No tool output found for function call call_A."
# a tool that says that it runs, and goes on until somebody ends it
ENDLESS = "echo $$ > tool.pid; exec sleep 60"
# of one length: sizes of requests are among the things that are compared
NAMES = ("straight", "recorded")
# lines of a rollout that a client writes when it comes to it
LATE = {"token_count", "background_event", "item_completed"}


class Codex:
    """One version over one transport."""

    def __init__(self, name, program, version, more=""):
        self.name, self.program, self.version, self.more = name, program, version, more

    def call(self, command):
        if self.version == "0.8.0":
            arguments = {"command": ["sh", "-c", command], "timeout_ms": 60000}
            return {"type": "function_call", "name": "shell", "call_id": "call_A", "arguments": arguments}
        return {"type": "function_call", "name": "exec_command", "call_id": "call_A", "arguments": {"cmd": command}}

    def prepare(self, folder, upstream):
        file = folder.home / "instructions.md"
        file.write_text(INSTRUCTIONS)
        key = "experimental_instructions_file" if self.version == "0.8.0" else "model_instructions_file"
        text = CONFIG.format(upstream=upstream, more=self.more, instructions=f'{key} = "{file}"')
        (folder.home / "config.toml").write_text(text)

    def script(self, scenario):
        return scripts.script(scenario, self.call(ENDLESS if scenario == "in-tool" else "echo found"), OPENING)


def rollouts(folder):
    """Every rollout that the client wrote, by its path below the home."""
    return {str(path.relative_to(folder.home)): path for path in folder.home.glob("sessions/**/*.jsonl")}


# --- codex exec


def execute(program, codex, folder, scenario, through):
    """A first message and, in a second process, the next one. Returns what was printed and what the endpoint saw."""
    flags = ["--json", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check", "-C", folder.work]
    with parts.served(program, folder, codex.script(scenario)) as upstream:
        codex.prepare(folder, upstream)
        first = through_recorder(program, folder, 1, through) + [codex.program, "exec", *flags, FIRST]
        with parts.client(first, folder, folder.environment()) as client:
            if scenario in ("in-tool", "mid-arguments", "second-stream"):
                reached(client, folder, scenario)
                # to the recorder alone, or to Codex alone: what came to the recorder goes on
                client.process.send_signal(signal.SIGINT)
            status = client.status()
            printed = [{"status": status}, *client.lines]
        parts.end_tool(folder)
        again = [codex.program, "exec", *flags, "resume", "--last", scripts.NEXT]
        with parts.client(through_recorder(program, folder, 2, through) + again, folder, folder.environment()) as client:
            status = client.status()
            printed += [{"status": status}, *client.lines]
            expect(status == 0, f"the next turn ended with {status}: {compare.brief(client.lines[-2:])}")
        return printed, parts.journal(upstream)


def through_recorder(program, folder, number, through):
    if not through:
        return []
    return [program, "record", "-q", "-o", folder.path / f"{number}.jsonl", "--client-events", "exec-json", "--"]


def reached(client, folder, scenario):
    """Waits until the client is where it is to be interrupted."""
    if scenario == "in-tool":
        pid = folder.work / "tool.pid"
        until(lambda: pid.exists() and pid.read_text().strip(), "the tool runs", process=client.process)
        client.wait_for(lambda it: it.get("item", {}).get("type") == "command_execution", "Codex says that the tool runs")
    else:
        client.wait_for(lambda it: it.get("item", {}).get("text") == OPENING, f"Codex says {OPENING}")


def exec_case(program, codex, base, scenario):
    results = {}
    for name in NAMES:
        folder = parts.Folder(base, name)
        printed, seen = execute(program, codex, folder, scenario, name == "recorded")
        results[name] = outcome(folder, printed, seen)
    equal(results)
    lines = {path: 0 for path in rollouts(folder)}
    asked = []
    for number in (1, 2):
        file = folder.path / f"{number}.jsonl"
        recording = Recording(file)
        compare.no_secret(recording)
        told_rollout(recording, folder, lines)
        asked += told_requests(recording)
        verdict.holds(program, file, "clean")
    all_lines(folder, lines)
    told_events([folder.path / "1.jsonl", folder.path / "2.jsonl"], printed)
    compare.same("requests on file", bodies(seen), compare.unredacted(asked, bodies(seen)))
    return f"{len(printed)} events, {len(seen)} requests, {sum(lines.values())} rollout lines"


def outcome(folder, printed, seen):
    """What is compared of a run."""
    wrote = []
    for path in sorted(rollouts(folder).values()):
        wrote += [compare.plain(json.loads(line), folder) for line in path.read_text().splitlines()]
    return {
        "what Codex printed": [compare.plain(line, folder) for line in printed],
        "what the endpoint was asked": [compare.plain([it["method"], it["status"], it["verdict"], it["body"]], folder) for it in seen],
        "the rollout": settled(wrote),
    }


def settled(lines):
    """Lines without those that come when they come, and without their numbers."""
    kept = []
    for line in lines:
        payload = line.get("payload")
        kind = payload.get("type") if isinstance(payload, dict) else None
        if kind not in LATE:
            kept.append({key: value for key, value in line.items() if key not in ("ordinal", "metadata")})
    return kept


def equal(results, cut_short=()):
    """Holds two runs against each other. What is cut short is compared as far as both go."""
    for what, direct in results["straight"].items():
        recorded = results["recorded"][what]
        both = min(len(direct), len(recorded)) if what in cut_short else None
        compare.same(what, direct[:both], recorded[:both])


# --- codex proto


def proto(program, codex, folder, scenario, through, more=None):
    """Both messages in one process, the interrupt as an operation between them."""
    command = [codex.program, "proto"]
    if through:
        record = [program, "record", "-q", "-o", folder.path / "1.jsonl", "--client-events", "proto"]
        command = [*record, "--", *command]
    with parts.served(program, folder, codex.script(scenario)) as upstream:
        codex.prepare(folder, upstream)
        with parts.client(command, folder, folder.environment(**(more or {})), talks=True) as client:
            converse(client, folder, scenario)
            # it does not end with its input
            client.process.send_signal(signal.SIGTERM)
            status = client.status()
            expect(status in (-signal.SIGTERM, 128 + signal.SIGTERM), f"codex proto ended with {status}: {client.stderr()[-300:]}")
        parts.end_tool(folder)
        return client.lines, parts.journal(upstream)


def converse(client, folder, scenario):
    kind = lambda line: line.get("msg", {}).get("type")
    client.wait_for(lambda it: kind(it) == "session_configured", "Codex is there")
    say(client, "1", FIRST)
    if scenario in ("in-tool", "mid-arguments", "second-stream"):
        if scenario == "in-tool":
            pid = folder.work / "tool.pid"
            until(lambda: pid.exists() and pid.read_text().strip(), "the tool runs", process=client.process)
        else:
            client.wait_for(lambda it: kind(it) == "agent_message" and it["msg"]["message"] == OPENING, f"Codex says {OPENING}")
        client.tell({"id": "2", "op": {"type": "interrupt"}})
        client.wait_for(lambda it: kind(it) in ("turn_aborted", "error"), "the turn is interrupted")
    else:
        client.wait_for(lambda it: kind(it) == "task_complete" and it["id"] == "1", "the turn is over")
    say(client, "3", scripts.NEXT)
    client.wait_for(lambda it: it.get("id") == "3" and kind(it) in ("task_complete", "error"), "the next turn is over")


def say(client, number, text):
    client.tell({"id": number, "op": {"type": "user_input", "items": [{"type": "text", "text": text}]}})


# what replay says of a session with Codex 0.8.0
SAID = {
    "in-tool": ("refused", "No tool call found for function call output with call_id call_A.", {}),
    "second-stream": ("refused", MISSING, {"full-history": "recovered", "error-body": "recovered", "pending-ids": "refused"}),
}


def proto_case(program, codex, base, scenario):
    results = {}
    for name in NAMES:
        folder = parts.Folder(base, name)
        printed, seen = proto(program, codex, folder, scenario, name == "recorded")
        results[name] = outcome(folder, printed, seen)
    # it writes its last lines when it comes to it, and is ended by a signal
    equal(results, cut_short=("the rollout",))
    file = folder.path / "1.jsonl"
    recording = Recording(file)
    compare.no_secret(recording)
    lines = {path: 0 for path in rollouts(folder)}
    told_rollout(recording, folder, lines)
    all_lines(folder, lines)
    told_events([file], [{"status": 0}, *printed])
    asked = told_requests(recording)
    compare.same("requests on file", bodies(seen), compare.unredacted(asked, bodies(seen)))
    verdict.holds(program, file, *SAID.get(scenario, ("clean",)))
    return f"{len(printed)} events, {len(seen)} requests, {sum(lines.values())} rollout lines"


# --- what a file must hold


def told_rollout(recording, folder, lines):
    """Holds the rollout lines of a recording to the file of the client. `lines` counts those that were recorded."""
    expect(recording.rollouts, "no rollout line was recorded")
    for path, found in recording.rollouts.items():
        expect(path in lines, f"the rollout {path} is none of the client's")
        written = rollouts(folder)[path].read_bytes().split(b"\n")
        for line in found:
            lines[path] += 1
            expect(line["line"] == lines[path], f"rollout line {lines[path]} is missing; {line['line']} follows")
            value = json.loads(written[line["line"] - 1])
            expect(line["value"] == value, f"rollout line {line['line']} is not what the client wrote")


def all_lines(folder, lines):
    for path, file in rollouts(folder).items():
        count = len(file.read_text().splitlines())
        expect(lines[path] == count, f"{count} rollout lines, {lines[path]} recorded")


def told_requests(recording):
    """The bodies of all requests; each answer must be whole, or cut because the client left."""
    found = []
    for exchange in recording.responses():
        found.append(json.loads(exchange.body))
        cause = end_of(recording, exchange)
        expect(cause in ("complete", "client_closed"), f"exchange {exchange.request['exchange']} ended: {cause}")
        if exchange.status in (200, None):
            last = kinds(exchange)[-1:]
            expect((last == ["response.completed"]) == (cause == "complete"), f"{last} and then {cause}")
    return found


def kinds(exchange):
    """The types of the events of an answer."""
    return [it["type"] for it in events(exchange.answer) + [json.loads(content(it)) for it in exchange.frames]]


def end_of(recording, exchange):
    """How an answer ended. On a WebSocket a terminal event is its end; without one, it is that of the connection."""
    if exchange.request["transport"] == "http":
        return exchange.end and exchange.end["cause"]
    if kinds(exchange)[-1:] == ["response.completed"]:
        return "complete"
    last = recording.connections[exchange.request["connection"]][-1]
    return last["cause"] if last["kind"] == "connection_end" else None


def bodies(seen):
    """The bodies of the requests for responses."""
    return [it["body"] for it in seen if it["method"] in ("POST", "WS") and it["path"].endswith("/responses")]


def told_events(files, printed):
    """What the client printed is on file, in its order."""
    told = [it["value"] for file in files for it in Recording(file).client_events if it["direction"] == "out"]
    compare.same("client events", [it for it in printed if "status" not in it or "type" in it], told)


def cases(program, links):
    modern = links / "codex-0.169.0"
    kinds = [
        (exec_case, Codex("codex-0.169-http", modern, "0.169.0")),
        (exec_case, Codex("codex-0.169-websocket", modern, "0.169.0", "supports_websockets = true")),
        (proto_case, Codex("codex-0.8", links / "codex-0.8.0", "0.8.0")),
    ]
    for case, codex in kinds:
        for scenario in scripts.SCENARIOS:
            yield f"{codex.name}-{scenario}", lambda base, a=(case, codex, scenario): a[0](program, a[1], base, a[2])
