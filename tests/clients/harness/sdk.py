"""The SDKs: programs of a few lines, each run twice against equal answers, directly and through the recorder."""

import contextlib
import json

from . import compare, parts, scripts, verdict
from .parts import expect
from .recording import Recording, events

CALL = {"type": "function_call", "name": "look_up", "call_id": "call_A", "arguments": {"key": "abcdefghijkl"}}
MISSING = "No tool output found for function call call_A."
GONE = "Previous response with id"
LEFT = {"full-history": "refused", "normalize": "recovered"}
KEPT = {"full-history": "recovered", "normalize": "recovered"}
# what replay says of a session, by program and scenario. Cancelled in its tool, the Python Agents SDK gives no id to go on
# from: nothing is refused, and the model has forgotten what was said
SAID = {
    ("raw", "in-tool"): ("refused", MISSING, LEFT),
    ("raw", "mid-arguments"): ("refused", GONE, {"full-history": "recovered"}),
    ("raw", "second-stream"): ("refused", MISSING, KEPT),
    ("node-agents", "in-tool"): ("refused", MISSING, LEFT),
    ("agents", "second-stream"): ("refused", MISSING, KEPT),
}


class Language:
    """How programs of one language are started."""

    def __init__(self, name, command, environment, launched):
        self.name, self.command, self.environment, self.launched = name, command, environment, launched


def languages(installs, programs):
    """How programs of each language are started, and with which environment."""
    return {
        "python": ("python", [installs.python, "-B", programs / "session.py"], {}),
        "node": ("node", ["node", programs / "session.mjs"], {"REPLAY_PACKAGES": str(installs.packages)}),
    }


def run(program, language, base, kind, scenarios, through):
    """One run of one program through scenarios, each with an endpoint and a recorder of its own.

    Returns, by scenario: the folder, what the program printed, what the endpoint saw."""
    _, command, more = language
    with contextlib.ExitStack() as stack:
        folders, upstreams, arguments = {}, {}, []
        for scenario in scenarios:
            folder = folders[scenario] = parts.Folder(base / scenario, "recorded" if through else "direct")
            place = upstreams[scenario] = stack.enter_context(parts.served(program, folder, scripts.script(scenario, CALL)))
            if through:
                place = stack.enter_context(parts.recorded(program, folder, place))
            arguments.append(f"{scenario}=http://{place}/v1")
        folder = parts.Folder(base, "recorded" if through else "direct")
        printed = finish([*command, kind, *arguments], folder, folder.environment(**more))
        seen = {scenario: parts.journal(place) for scenario, place in upstreams.items()}
    return {
        scenario: (folders[scenario], [line for line in printed if line.get("scenario") == scenario], seen[scenario])
        for scenario in scenarios
    }


def finish(command, folder, environment):
    with parts.client(command, folder, environment) as client:
        status = client.status()
        expect(status == 0, f"the program ended with {status}: {client.stderr()[-600:]}")
        return client.lines


def group(program, language, base, kind, scenarios):
    """Runs a program directly and through recorders, and compares the two and the files."""
    direct = run(program, language, base, kind, scenarios, through=False)
    through = run(program, language, base, kind, scenarios, through=True)
    wrong = []
    for scenario in scenarios:
        try:
            compared(program, language[0], kind, scenario, direct[scenario], through[scenario])
        except parts.Failed as error:
            wrong.append(f"{scenario}: {error}")
    expect(not wrong, "\n      ".join(wrong))
    told = (f"{scenario} {len(printed)} lines {len(seen)} requests" for scenario, (_, printed, seen) in through.items())
    return ", ".join(told)


def compared(program, name, kind, scenario, direct, through):
    folder, printed, seen = direct
    expect(printed, "the program said nothing")
    directly = [compare.plain(line, folder) for line in printed], [compare.plain(asked(it), folder) for it in seen]
    folder, printed, seen = through
    compare.same("what the program saw", directly[0], [compare.plain(line, folder) for line in printed])
    compare.same("what the endpoint was asked", directly[1], [compare.plain(asked(it), folder) for it in seen])
    held(program, name, kind, scenario, folder, printed, seen)


def held(program, name, kind, scenario, folder, printed, seen):
    """Holds the file to what the program saw, and `replay` to what is true of it."""
    file = folder.path / "session.jsonl"
    recording = Recording(file)
    compare.no_secret(recording)
    tells(recording, seen, printed)
    said = SAID.get((kind, scenario)) or SAID.get((f"{name}-{kind}", scenario)) or ("clean",)
    verdict.holds(program, file, *said)


def launched(program, language, base, kind, scenario):
    """The recorder starts the program, which it points at itself."""
    name, command, more = language
    folder = parts.Folder(base, "launched")
    with parts.served(program, folder, scripts.script(scenario, CALL)) as upstream:
        command = [program, "record", "-q", "-o", folder.path / "session.jsonl", "--", *command, kind, scenario]
        printed = finish(command, folder, folder.environment(**more, OPENAI_BASE_URL=f"http://{upstream}/v1"))
        seen = parts.journal(upstream)
    held(program, name, kind, scenario, folder, printed, seen)
    return f"{len(printed)} lines, {len(seen)} requests"


def asked(entry):
    """What is compared of a request. When an answer that the client left ended is a matter of chance."""
    return [entry[key] for key in ("method", "path", "status", "verdict", "body")]


def tells(recording, requests, printed):
    """The file holds the requests as they came, and the events that the program saw."""
    exchanges = recording.responses()
    expect(len(exchanges) == len(requests), f"{len(requests)} requests, {len(exchanges)} in the file")
    for exchange, request in zip(exchanges, requests):
        expect(json.loads(exchange.body) == request["body"], "a request in the file is not what came")
        expect(exchange.status == request["status"], f"status {exchange.status} in the file, {request['status']} sent")
        expect(exchange.end is not None, "an exchange has no end")
    for line in printed:
        if "body" in line:
            expect(exchanges[0].answer == line["body"].encode(), "the chunks are not the bytes the program got")
    told = [event for exchange in exchanges for event in events(exchange.answer)]
    for line in printed:
        if "event" not in line:
            continue
        event = line["event"]
        # what came behind the place where the program left is in the file too
        while told and not equal(told[0], event):
            told.pop(0)
        expect(told, f"an event that the program saw is not in the file: {compare.brief(event)}")
        told.pop(0)
    causes = [exchange.end["cause"] for exchange in exchanges]
    left = [cause for cause in causes if cause == "client_closed"]
    expect(set(causes) <= {"complete", "client_closed"} and len(left) <= 1, f"ends: {causes}")


def equal(told, event):
    """SDKs leave out members that are null."""
    return bare(told) == bare(event)


def bare(value):
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if item is not None}
    return [bare(item) for item in value] if isinstance(value, list) else value


def cases(program, installs, programs):
    for name, language in languages(installs, programs).items():
        for kind in ("raw", "agents"):
            wanted = (("bytes",) if kind == "raw" else ()) + scripts.SCENARIOS
            yield f"{name}-{kind}", lambda base, a=(language, kind, wanted): group(program, a[0], base, a[1], a[2])
        yield f"{name}-launched", lambda base, a=language: launched(program, a, base, "raw", "second-stream")
