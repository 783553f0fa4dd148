"""Reads a recording without `replay`: docs/format.md in a few lines, so that the two can be held against each other."""

import base64
import hashlib
import json

from .parts import expect


class Exchange:
    def __init__(self, request):
        self.request = request
        self.body = b""
        self.status = None
        self.answer = b""
        self.frames = []
        self.end = None


class Recording:
    """The lines of a file, and its exchanges by number. `torn` is what a last line without its end holds."""

    def __init__(self, path, may_be_torn=False):
        self.raw = path.read_bytes()
        *whole, self.torn = self.raw.split(b"\n")
        self.lines = [json.loads(line) for line in whole]
        expect(may_be_torn or not self.torn, f"{path.name}: the last line is torn")
        self.exchanges, self.connections, self.rollouts, self.client_events = {}, {}, {}, []
        for line in self.lines:
            self._take(line)

    def _take(self, line):
        kind, number = line["kind"], line.get("exchange")
        if kind == "request":
            exchange = self.exchanges[number] = Exchange(line)
            exchange.body = self._body(line)
        elif kind == "response":
            self.exchanges[number].status = line["status"]
        elif kind == "chunk":
            self.exchanges[number].answer += content(line)
        elif kind == "frame" and number is not None:
            self.exchanges[number].frames.append(line)
        elif kind == "end":
            self.exchanges[number].end = line
        elif kind in ("connection", "connection_end"):
            self.connections.setdefault(line["connection"], []).append(line)
        elif kind == "rollout":
            self.rollouts.setdefault(line["path"], []).append(line)
        elif kind == "client_event":
            self.client_events.append(line)

    def _body(self, line):
        if "body" in line:
            return json.dumps(line["body"], ensure_ascii=False, separators=(",", ":")).encode()
        if "body_text" in line:
            return line["body_text"].encode()
        if "body_base64" in line:
            return base64.b64decode(line["body_base64"])
        if "body_delta" not in line:
            return b""
        delta, body = line["body_delta"], b""
        base = self.exchanges[delta["base"]].body
        for step in delta["ops"]:
            body += base[slice(*step["copy"])] if "copy" in step else step["text"].encode()
        sound = len(body) == delta["bytes"] and hashlib.sha256(body).hexdigest() == delta["sha256"]
        expect(sound, f"exchange {line['exchange']}: its delta does not give its body")
        return body

    def responses(self):
        """The exchanges that asked for a response, in order."""
        wanted = []
        for number in sorted(self.exchanges):
            request = self.exchanges[number].request
            if request["transport"] == "websocket" or (request["method"], request["path"]) == ("POST", "/v1/responses"):
                wanted.append(self.exchanges[number])
        return wanted


def content(line):
    return line["text"].encode() if "text" in line else base64.b64decode(line["base64"])


def events(answer):
    """The events of a stream that arrived whole."""
    found = []
    for block in answer.decode(errors="replace").split("\n\n")[:-1]:
        data = [line[5:].strip() for line in block.split("\n") if line.startswith("data:")]
        if data and data != ["[DONE]"]:
            found.append(json.loads("\n".join(data)))
    return found
