"""`codex app-server` of 0.169.0, driven over its pipes: interrupts, approvals, questions, sub-agents. Both sides recorded."""

import json
import os
import subprocess

from . import codex, compare, parts, verdict
from .parts import expect, until
from .recording import Recording

CODEX = "codex-0.169.0"
# out of the sandbox, so that Codex asks
ESCALATED = {"sandbox_permissions": "require_escalated", "justification": "the test wants to be asked"}
DONE = {"items": [{"type": "message", "text": "All done."}]}
QUESTION = {"questions": [{"id": "q1", "header": "Colour", "question": "Which colour?", "options": [{"label": "Blue", "description": "b"}, {"label": "Red", "description": "r"}]}]}


def call(command, name="call_A", **more):
    return {"items": [{"type": "function_call", "name": "exec_command", "call_id": name, "arguments": {"cmd": command, **more}}]}


def asks(name):
    return {"items": [{"type": "function_call", "name": "request_user_input", "call_id": name, "arguments": QUESTION}]}


def spawns(message):
    arguments = {"message": message}
    return {"items": [{"type": "function_call", "namespace": "multi_agent_v1", "name": "spawn_agent", "call_id": "call_S", "arguments": arguments}]}


def endless(name):
    return f"echo $$ > {name}.pid; exec sleep 60"


class Driver:
    """Whoever drives the app-server."""

    def __init__(self, client, folder):
        self.client, self.folder, self.number = client, folder, 0
        self.ask("initialize", clientInfo={"name": "driver", "version": "1"}, capabilities={"experimentalApi": True})
        client.tell({"method": "initialized"})
        self.thread = self.answer(self.ask("thread/start"))["thread"]["id"]

    def ask(self, method, wait=True, **params):
        self.number += 1
        number = self.number
        self.client.tell({"id": number, "method": method, "params": params})
        if wait:
            self.answered(number)
        return number

    def answered(self, number):
        return self.client.wait_for(lambda it: it.get("id") == number and "method" not in it, f"request {number} is answered")

    def answer(self, number):
        answer = self.answered(number)
        expect("result" in answer, f"request {number}: {answer}")
        return answer["result"]

    def turn(self, text):
        number = self.ask("turn/start", threadId=self.thread, input=[{"type": "text", "text": text}])
        return self.answer(number)["turn"]["id"]

    def over(self, turn):
        return self.client.wait_for(lambda it: it.get("method") == "turn/completed" and it["params"]["turn"]["id"] == turn, "the turn is over")

    def interrupt(self, turn, wait=True):
        return self.ask("turn/interrupt", wait, threadId=self.thread, turnId=turn)

    def asked(self, word, often=1):
        """Waits for questions of the client."""
        found = lambda: [it for it in list(self.client.lines) if word in it.get("method", "") and "id" in it]
        return until(lambda: len(found()) >= often and found(), f"Codex asks {often} times", process=self.client.process)

    def reply(self, question, result):
        self.client.tell({"id": question["id"], "result": result})

    def tool(self, name):
        pid = self.folder.work / f"{name}.pid"
        until(lambda: pid.exists() and pid.read_text().strip(), "the tool runs", process=self.client.process)


def in_tool(driver):
    turn = driver.turn("begin")
    driver.tool("tool")
    driver.client.wait_for(lambda it: it.get("method") == "item/started" and it["params"]["item"]["type"] == "commandExecution", "Codex says that the tool runs")
    driver.interrupt(turn)
    driver.over(turn)
    # of a turn that is over: nothing answers it but a refusal
    driver.interrupt(turn)
    driver.over(driver.turn("go on"))


def in_approval(driver):
    turn = driver.turn("begin")
    driver.asked("requestApproval")
    driver.interrupt(turn)
    driver.over(turn)
    turn = driver.turn("go on")
    driver.reply(driver.asked("requestApproval", 2)[1], {"decision": "accept"})
    driver.over(turn)


def in_question(driver):
    turn = driver.turn("begin")
    driver.reply(driver.asked("requestUserInput")[0], {"answers": {"q1": {"answers": ["Blue"]}}})
    driver.asked("requestUserInput", 2)
    driver.interrupt(turn)
    driver.over(turn)
    driver.over(driver.turn("go on"))


def steered(driver):
    turn = driver.turn("begin")
    driver.tool("tool")
    said = [{"type": "text", "text": "this was said meanwhile"}]
    driver.ask("turn/steer", threadId=driver.thread, expectedTurnId=turn, input=said)
    first = driver.interrupt(turn, wait=False)
    second = driver.interrupt(turn, wait=False)
    driver.answered(first)
    driver.answered(second)
    driver.over(turn)
    driver.over(driver.turn("go on"))


def sub_agent(driver):
    turn = driver.turn("the parent begins")
    for question in driver.asked("requestApproval", 2):
        driver.reply(question, {"decision": "accept"})
    driver.tool("own")
    driver.tool("child")
    driver.interrupt(turn)
    driver.over(turn)


def replaced(driver):
    turn = driver.turn("begin")
    driver.tool("tool")
    driver.client.wait_for(lambda it: it.get("method") == "item/started" and it["params"]["item"]["type"] == "commandExecution", "Codex says that the tool runs")
    # the compaction takes the place of the turn; the interrupt was meant for that turn and ends the compaction
    driver.ask("thread/compact/start", False, threadId=driver.thread)
    driver.interrupt(turn, wait=False)
    driver.over(turn)
    over = lambda it: it.get("method") == "turn/completed" and it["params"]["turn"]["id"] != turn
    driver.client.wait_for(over, "the compaction is over")


def in_review(driver):
    target = {"type": "custom", "instructions": "look at it"}
    turn = driver.answer(driver.ask("review/start", threadId=driver.thread, target=target, delivery="inline"))["turn"]["id"]
    driver.tool("tool")
    # by the id that the app-server gave the review: it refuses it
    driver.interrupt(turn)
    (driver.folder.work / "over").touch()
    driver.over(turn)


def in_two(first, second):
    """The answers to a parent and to its sub-agent, told apart by what they are asked."""
    return {"conversations": [{"when": {"contains": "the parent begins"}, "turns": first}, {"when": {"contains": "the child's part"}, "turns": second}]}


# name, answers, what the driver does, whether Codex asks, findings: rule, severity, how often
CASES = (
    ("in-tool", {"turns": [call(endless("tool")), DONE]}, in_tool, False, {("unanswered_interrupt", "info"): 1}),
    (
        "in-approval",
        {"turns": [call("touch a", "call_A", **ESCALATED), call("touch b", "call_B", **ESCALATED), DONE]},
        in_approval,
        True,
        {("unanswered_approval", "info"): 1},
    ),
    ("in-question", {"turns": [asks("call_Q1"), asks("call_Q2"), DONE]}, in_question, False, {("unanswered_approval", "info"): 1}),
    (
        "steered",
        {"turns": [call(endless("tool")), DONE]},
        steered,
        False,
        {("user_message_never_sent", "warning"): 1, ("unanswered_interrupt", "info"): 1},
    ),
    ("replaced", {"turns": [call(endless("tool")), DONE, DONE]}, replaced, False, {("unanswered_interrupt", "info"): 1}),
    ("in-review", {"turns": [call("echo $$ > tool.pid; until test -e over; do sleep 0.05; done"), DONE]}, in_review, False, {("unanswered_interrupt", "warning"): 1}),
    (
        "sub-agent",
        in_two([spawns("do the child's part"), call(endless("own"), "call_O", **ESCALATED), DONE], [call(endless("child"), "call_C", **ESCALATED), DONE]),
        sub_agent,
        True,
        {},
    ),
)
# what comes when it comes: a tool that was ended may say so before or after the next turn begins
LATE = "stale_event"


def play(program, links, base, case):
    """Runs a case through the recorder and returns the file."""
    _, script, conduct, asks_leave, _ = case
    folder = parts.Folder(base, "run")
    file = folder.path / "session.jsonl"
    environment = folder.environment(PATH=f"{links}{os.pathsep}{os.environ['PATH']}")
    command = [program, "record", "-q", "-o", file, "--client-events", "app-server", "--", CODEX, "app-server"]
    with parts.served(program, folder, script, "--profile", "codex-backend") as upstream:
        client = codex.Codex("codex-0.169", CODEX, "0.169.0", "[features]\ndefault_mode_request_user_input = true")
        client.prepare(folder, upstream)
        if asks_leave:
            settings = folder.home / "config.toml"
            text = settings.read_text().replace('"never"', '"on-request"').replace('"danger-full-access"', '"read-only"')
            settings.write_text(text)
        with parts.client(command, folder, environment, talks=True) as running:
            conduct(Driver(running, folder))
            running.process.stdin.close()
            status = running.status()
            expect(status == 0, f"codex app-server ended with {status}: {running.stderr()[-300:]}")
        parts.end_tool(folder)
    return folder, file


def told(program, *arguments):
    done = subprocess.run([program, *arguments, "--format", "json"], capture_output=True, timeout=parts.LIMIT)
    return json.loads(done.stdout)


def held(program, file, case):
    """Holds the file to what was done: every interrupt and question has its answer, and nothing else is found."""
    name, *_, wanted = case
    compare.no_secret(Recording(file))
    verdict.holds(program, file, "clean")
    asked = told(program, "inspect", file)["asks"]
    for ask in asked:
        expect(ask["answered"] is not None, f"{ask} has no answer")
    interrupts = [it for it in asked if it["kind"] == "interrupt"]
    expect(interrupts, "no interrupt is on file")
    found = {}
    for finding in told(program, "check", file)["findings"]:
        key = (finding["rule"], finding["severity"])
        if finding["severity"] == "warning" or finding["rule"].startswith("un"):
            found[key] = found.get(key, 0) + 1
    late = found.pop((LATE, "warning"), 0)
    expect(found == wanted, f"{name}: {found} found, {wanted} expected")
    return f"{len(asked)} questions and interrupts, {late} stale"


def case(program, links, base, one):
    _, file = play(program, links, base, one)
    return held(program, file, one)


def cases(program, links):
    for one in CASES:
        yield f"app-server-{one[0]}", lambda base, it=one: case(program, links, base, it)


def shortened(file):
    """The lines of a recording without the lists of tools, which answers repeat, and with every body whole."""
    recording = Recording(file)
    rest = {}
    for line in recording.lines:
        number = line.get("exchange")
        if line["kind"] == "request":
            body = json.loads(recording.exchanges[number].body) if recording.exchanges[number].body else None
            for name in ("body", "body_delta", "body_text"):
                line.pop(name, None)
            if body is not None:
                line["body"] = without_tools(body)
        elif line["kind"] == "chunk":
            # an answer is cut into frames anew, each in the chunk in which it ended
            *frames, rest[number] = (rest.get(number, "") + line["text"]).split("\n\n")
            text = "".join(frame_without_tools(frame) + "\n\n" for frame in frames)
            if not text:
                continue
            line["text"] = text
        yield json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def without_tools(value):
    return {key: [] if key == "tools" else it for key, it in value.items()}


def frame_without_tools(frame):
    lines = []
    for line in frame.split("\n"):
        if line.startswith("data: {"):
            data = json.loads(line[6:])
            if isinstance(data.get("response"), dict):
                data["response"] = without_tools(data["response"])
            line = "data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        lines.append(line)
    return "\n".join(lines)


def stories(program, links, rollouts):
    """Records these sessions for `rollouts/`."""

    def write(base, one, target):
        _, file = play(program, links, base, one)
        held(program, file, one)
        target.mkdir(exist_ok=True)
        kept = target / "session.jsonl"
        kept.write_text("".join(line + "\n" for line in shortened(file)))
        held(program, kept, one)
        return f"{kept.stat().st_size} bytes"

    for one in CASES:
        target = rollouts / f"codex-0.169-app-server-{one[0]}"
        yield target.name, lambda base, it=one, to=target: write(base, it, to)
