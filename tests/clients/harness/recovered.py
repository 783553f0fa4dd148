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


def without(lines, key):
    first, *rest = lines
    return [{**first, "payload": {name: value for name, value in first["payload"].items() if name != key}}, *rest]


LONE = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"}
TWICE = {"type": "function_call_output", "call_id": "call_A", "output": "seen"}
NAMED = {**CALL, "id": "fc_1"}
OTHER = {**CALL, "id": "fc_1", "call_id": "call_C"}

# what became of it as it was: not resumable (Codex ends before it asks), refused, or accepted with an output made up
POISONED = {
    "E0": ("not resumable", json.dumps({"session": {"timestamp": TIME, "id": THREAD, "instructions": ""}, "items": [USER, CALL, SAID]}, indent=2)),
    "E1": ("not resumable", text([META, USER, CALL, SAID])),
    "E2": ("not resumable", text([META, {**STATE, "previous_response_id": None}, USER, STATE, CALL, STATE, DONE, SAID])),
    "E3": ("not resumable", text(without(enveloped([USER, DONE, CALL, SAID], False), "cwd")) + '{"timestamp":"2026\n'),
    "E3-torn": ("accepted", text(enveloped([USER, DONE, CALL, SAID], False)) + '{"timestamp":"2026\n'),
    "E3-ids": ("refused", text(enveloped([USER, NAMED, TWICE, OTHER, SAID], False))),
    "E4": ("refused", text(enveloped([USER, CALL, SAID, LONE], True)) + '{"torn'),
    "E4-meta": ("not resumable", '{"timestamp":"2026-01\n' + text(list(enveloped([USER, CALL, SAID], True))[1:])),
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
    expected, poison = POISONED[era]
    before = parts.Folder(base, "before")
    with parts.served(program, before, {"turns": []}) as upstream:
        place = before.home / "sessions/2026/01/02"
        place.mkdir(parents=True)
        (place / f"rollout-2026-01-02T03-04-05-{THREAD}.jsonl").write_text(poison)
        status = resume(codex, before, upstream)
        verdicts = [one["verdict"] for one in parts.journal(upstream) if one["path"].endswith("/responses")]
    if not verdicts:
        expect(status != 0, "Codex ended well without a request")
    was = verdicts[-1] if verdicts else "not resumable"
    expect(was == expected, f"as it is the file is {was}, not {expected}")
    after = parts.Folder(base, "after")
    name = f"rollout-2026-01-02T03-04-05-{THREAD}.jsonl"
    poisoned = after.path / name
    poisoned.write_text(poison)
    command = [program, "recover", poisoned, "-o", f"{after.home}/", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=after.work, timeout=parts.LIMIT)
    expect(done.returncode == 0, f"recover: {done.stdout}{done.stderr}")
    expect(poisoned.read_text() == poison, "the original was touched")
    said = json.loads(done.stdout)
    expect(said["thread_id"] == THREAD and said["after"] == "clean", done.stdout)
    with parts.served(program, after, {"turns": []}) as upstream:
        status = resume(codex, after, upstream)
        seen = [one for one in parts.journal(upstream) if one["path"].endswith("/responses")]
    expect(status == 0, f"codex ended with {status}: {(after.path / 'stderr.txt').read_text(errors='replace')[-1000:]}")
    expect(seen and all(one["verdict"] == "accepted" for one in seen), f"{seen}"[:2000])
    items = seen[0]["body"]["input"]
    sent = [(item["type"], item.get("call_id")) for item in items if item["type"].startswith("function_call")]
    kept = [("function_call", "call_A"), ("function_call_output", "call_A")]
    if era == "E3-ids":
        kept += [("function_call", "call_C"), ("function_call_output", "call_C")]
    expect(sent == kept, f"sent: {sent}")
    texts = [part.get("text") for item in items if item["type"] == "message" for part in item["content"]]
    for wanted in ("look it up", "One moment.", NEXT):
        expect(wanted in texts, f"{wanted!r} is not sent")
    return f"before: {was}; recovered: {len(said['changes'])} changes, resumed"
