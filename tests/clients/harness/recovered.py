"""Rollouts that were cut, torn or are old, made whole by `replay recover` and resumed by real Codex."""

import json
import subprocess

from . import parts
from .codex import CONFIG
from .parts import expect

THREAD = "5c3ffb71-f06f-466c-a0bf-070ea5637c56"
NEXT = "and what now?"
USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "look it up"}]}
CALL = {"type": "function_call", "name": "shell", "arguments": '{"command":["ls"]}', "call_id": "call_A"}
DONE = {"type": "function_call_output", "call_id": "call_B", "output": "seen"}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "One moment."}]}
TIME = "2026-01-02T03:04:05.000Z"
META = {"id": THREAD, "timestamp": TIME, "instructions": None}
STATE = {"record_type": "state", "previous_response_id": "resp_1"}


def enveloped(items, paginated):
    meta = {**META, "session_id": THREAD, "cwd": "/", "originator": "codex_exec", "cli_version": "0.169.0", "source": "exec"}
    if paginated:
        meta["history_mode"] = "paginated"
    lines = [("session_meta", meta), *(("response_item", item) for item in items)]
    for ordinal, (kind, payload) in enumerate(lines):
        yield {"timestamp": TIME, **({"ordinal": ordinal} if paginated else {}), "type": kind, "payload": payload}


def text(lines):
    return "".join(json.dumps(line) + "\n" for line in lines)


POISONED = {
    "E0": json.dumps({"session": {"timestamp": TIME, "id": THREAD, "instructions": ""}, "items": [USER, CALL, SAID]}, indent=2),
    "E1": text([META, USER, CALL, SAID]),
    "E2": text([META, {**STATE, "previous_response_id": None}, USER, STATE, CALL, STATE, DONE, SAID]),
    "E3": text(enveloped([USER, DONE, CALL, SAID], False)) + '{"timestamp":"2026\n',
    "E4": text(enveloped([USER, CALL, SAID], True)) + '{"torn',
}


def cases(program, links):
    return [
        (f"recovered-{era}", lambda base, era=era: run(program, links / "codex-0.169.0", base, era)) for era in POISONED
    ]


def resume(codex, folder, upstream):
    config = CONFIG.format(upstream=upstream, more="", instructions="")
    (folder.home / "config.toml").write_text(config)
    flags = ["--json", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check", "-C", folder.work]
    command = [codex, "exec", *flags, "resume", THREAD, NEXT]
    with parts.client(command, folder, folder.environment()) as client:
        return client.status()


def run(program, codex, base, era):
    before = parts.Folder(base, "before")
    with parts.served(program, before, {"turns": []}) as upstream:
        place = before.home / "sessions/2026/01/02"
        place.mkdir(parents=True)
        (place / f"rollout-2026-01-02T03-04-05-{THREAD}.jsonl").write_text(POISONED[era])
        status = resume(codex, before, upstream)
    if era < "E3":
        expect(status != 0, f"{era} was resumed as it is; recover is not needed any more")
    after = parts.Folder(base, "after")
    poisoned = after.path / "poisoned"
    poisoned.write_text(POISONED[era])
    command = [program, "recover", poisoned, "-o", f"{after.home}/", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=after.work, timeout=parts.LIMIT)
    expect(done.returncode == 0, f"recover: {done.stdout}{done.stderr}")
    expect(poisoned.read_text() == POISONED[era], "the original was touched")
    said = json.loads(done.stdout)
    expect(said["thread_id"] == THREAD and said["after"] == "clean", done.stdout)
    with parts.served(program, after, {"turns": []}) as upstream:
        status = resume(codex, after, upstream)
        seen = [one for one in parts.journal(upstream) if one["path"].endswith("/responses")]
    expect(status == 0, f"codex ended with {status}: {(after.path / 'stderr.txt').read_text(errors='replace')[-1000:]}")
    expect(seen and all(one["verdict"] == "accepted" for one in seen), f"{seen}"[:2000])
    items = seen[0]["body"]["input"]
    sent = [(item["type"], item.get("call_id")) for item in items if item["type"].startswith("function_call")]
    expect(sent == [("function_call", "call_A"), ("function_call_output", "call_A")], f"sent: {sent}")
    texts = [part.get("text") for item in items if item["type"] == "message" for part in item["content"]]
    for wanted in ("look it up", "One moment.", NEXT):
        expect(wanted in texts, f"{wanted!r} is not sent")
    return f"before: status {'0' if era > 'E2' else 'not 0'}; recovered: {len(said['changes'])} changes, resumed"
