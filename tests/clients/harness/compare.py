"""What two runs of one client may differ in, and whether they differ in anything else."""

import json
import re

from .parts import KEY, expect

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")
STAMP = re.compile(r"20\d\d-\d\d-\d\dT\d\d-\d\d-\d\d")
PORT = re.compile(r"(127\.0\.0\.1|localhost):\d+")
LENGTH = re.compile(r"\d+(\.\d+)?( seconds|m?s\b)")
MADE = re.compile(r'"(created_at|completed_at)":\d+')
CHUNK = re.compile(r"Chunk ID: \w+")
REDACTED = re.compile(r"<redacted:\d+>")
# members that hold a moment, a duration or an id made by chance
MOVING = re.compile(r"([_-](at|at_ms|ms|millis|time)|duration|timestamp|duration_seconds|traceparent|tracestate|process_id|chunk_id|elapsed.*)$")


def plain(value, folder):
    """The value without times, ids made by the client, ports and the folder of its run."""
    if isinstance(value, dict):
        return {key: "<moving>" if MOVING.search(key) else plain(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, folder) for item in value]
    if not isinstance(value, str):
        return value
    if value.startswith("{") and value.endswith("}"):
        # Codex sends JSON in strings
        try:
            return plain(json.loads(value), folder)
        except ValueError:
            pass
    text = MADE.sub(r'"\1":<time>', value)
    text = text.replace(str(folder.path), "<folder>")
    for what, name in ((UUID, "<id>"), (TIME, "<time>"), (STAMP, "<time>"), (PORT, "<address>"), (CHUNK, "<chunk>"), (LENGTH, "<length>")):
        text = what.sub(name, text)
    return text


def same(what, direct, recorded):
    """Fails with the first place in which two lists of values differ: what came directly, and through the recorder."""
    for at, (left, right) in enumerate(zip(direct, recorded)):
        if left != right:
            path, left, right = first_difference("", left, right)
            expect(False, f"{what} {at}{path}: {brief(left)} here, {brief(right)} there")
    more = direct[len(recorded) :] or recorded[len(direct) :]
    expect(not more, f"{what}: {len(direct)} here, {len(recorded)} there; one has more: {brief(more[:1])}")


def first_difference(path, left, right):
    if isinstance(left, dict) and isinstance(right, dict):
        for key in {**left, **right}:
            if left.get(key) != right.get(key):
                return first_difference(f"{path}.{key}", left.get(key), right.get(key))
    if isinstance(left, list) and isinstance(right, list):
        for at, (one, other) in enumerate(zip(left, right)):
            if one != other:
                return first_difference(f"{path}[{at}]", one, other)
    return path, left, right


def unredacted(told, came):
    """What a file holds, with the values put back that were taken out on the way; everything else stays."""
    if isinstance(told, dict) and isinstance(came, dict):
        return {key: unredacted(value, came.get(key)) for key, value in told.items()}
    if isinstance(told, list) and isinstance(came, list) and len(told) == len(came):
        return [unredacted(one, other) for one, other in zip(told, came)]
    if isinstance(told, str) and isinstance(came, str) and REDACTED.search(told):
        around = ".+".join(re.escape(part) for part in REDACTED.split(told))
        return came if re.fullmatch(around, came, re.DOTALL) else told
    return told


def brief(value):
    return json.dumps(value, ensure_ascii=False)[:300]


def no_secret(recording):
    expect(KEY.encode() not in recording.raw, "the key of the client is in the file")
    parts = [KEY[start : start + 16].encode() for start in range(0, len(KEY) - 16, 8)]
    expect(not any(part in recording.raw for part in parts), "a part of the key of the client is in the file")
