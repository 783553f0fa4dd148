"""Codex 0.169.0 recorded and traced at once: what `replay` says of the trace is what it says of the recording."""

import json
import subprocess

from . import codex, parts, verdict
from .parts import expect

SCENARIOS = ("in-tool", "mid-arguments")


class Folder(parts.Folder):
    """A folder whose client also writes a trace."""

    def environment(self, **more):
        return super().environment(CODEX_ROLLOUT_TRACE_ROOT=str(self.path / "traces"), **more)


def judged(program, file, websocket):
    """The verdict, and every request of a turn with what became of it."""
    session, status = verdict.replayed(program, file)
    run = session["runs"][0]
    # a trace holds no warm-ups
    asked = [it for it in run["requests"] if it["turn"] > 0]
    keys = ["lane", "turn", "outcome", "refusal"]
    if not websocket:
        # over a WebSocket the request behind a warm-up is shorter on the wire
        keys.append("input_items")
    requests = [[it[key] for key in keys] for it in asked]
    calls = [[it["call_id"], it["cause"]] for it in session["open_calls"]]
    return {"status": status, "verdict": run["verdict"], "reproduced": run["reproduced"], "requests": requests, "open": calls}


def case(program, client, base, scenario):
    folder = Folder(base, "traced")
    codex.execute(program, client, folder, scenario, True)
    started = lambda path: json.loads((path / "manifest.json").read_text())["started_at_unix_ms"]
    traces = sorted((folder.path / "traces").iterdir(), key=started)
    expect(len(traces) == 2, f"{len(traces)} traces")
    count = 0
    for number, trace in enumerate(traces, 1):
        told = judged(program, trace, client.more)
        recorded = judged(program, folder.path / f"{number}.jsonl", client.more)
        expect(told == recorded, f"trace {number}: {told}, but the recording: {recorded}")
        expect(told["requests"], f"trace {number} holds no request")
        count += len(told["requests"])
        file = folder.path / f"converted-{number}.jsonl"
        subprocess.run([program, "convert", "-q", trace, "-o", file], check=True, timeout=parts.LIMIT)
        expect(judged(program, file, client.more) == told, f"trace {number} is judged otherwise when it was converted first")
    return f"{len(traces)} traces, {count} requests"


def cases(program, links):
    modern = links / "codex-0.169.0"
    for name, more in (("http", ""), ("websocket", "supports_websockets = true")):
        client = codex.Codex(f"codex-0.169-{name}", modern, "0.169.0", more)
        for scenario in SCENARIOS:
            yield f"codex-trace-{name}-{scenario}", lambda base, a=(client, scenario): case(program, a[0], base, a[1])
