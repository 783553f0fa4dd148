"""kill -9 of the recorder at any moment: what is on file is whole up to the last line."""

import http.client
import json
import random
import subprocess
import threading
import time

from . import parts
from .parts import LIMIT, expect
from .recording import Recording

CLIENTS = 3
SCRIPT = {"turns": [], "default": {"text": "One answer out of many, in a few pieces.", "deltas": 6}}


class Loop(threading.Thread):
    """A client that asks again and again, and notes what it has seen to the end."""

    def __init__(self, local, name):
        super().__init__(daemon=True)
        self.local, self.name_of = local, name
        # what it asked, the answer, and when it had the last byte of it
        self.ended = []

    def run(self):
        connection = http.client.HTTPConnection(*self.local.split(":"), timeout=LIMIT)
        history = []
        for number in range(1_000_000):
            asked = f"{self.name_of} asks {number}"
            history = [*history[-20:], {"role": "user", "content": asked}]
            body = json.dumps({"model": "m", "input": history, "stream": True, "store": False}, separators=(",", ":"))
            try:
                connection.request("POST", "/v1/responses", body, {"content-type": "application/json", "authorization": f"Bearer {parts.KEY}"})
                answer = connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                return
            self.ended.append((body, answer, time.monotonic()))


def case(program, base, rounds, seed):
    chance = random.Random(seed)
    torn = without_end = exchanges = 0
    youngest = []
    folder = parts.Folder(base, "endpoint")
    with parts.served(program, folder, SCRIPT) as upstream:
        for number in range(rounds):
            file = base / f"{number}.jsonl"
            loops, killed = round_of(program, base, file, upstream, chance.uniform(0, 0.25))
            recording = Recording(file, may_be_torn=True)
            torn += bool(recording.torn)
            exchanges += len(recording.exchanges)
            without_end += sum(exchange.end is None for exchange in recording.exchanges.values())
            youngest.append(held(number, recording, loops, killed))
            read(program, file, bool(recording.torn))
            file.unlink()
    ended = sum(count for count, _ in youngest)
    spared = min((age for _, age in youngest if age is not None), default=0)
    expect(ended > rounds, f"only {ended} exchanges ended in {rounds} rounds")
    return (
        f"{rounds} kills, {exchanges} exchanges on file, {without_end} of them cut by the kill, {torn} torn lines, "
        f"{ended} seen to their end and all on file, the youngest {spared * 1e3:.2f} ms before its kill"
    )


def round_of(program, base, file, upstream, wait):
    """Starts a recorder, lets clients loop, kills it after a while. Returns the clients, and when it was killed."""
    port = base / "record.port"
    port.unlink(missing_ok=True)
    command = [program, "record", "-q", "-o", file, "--listen", "127.0.0.1:0", "--port-file", port, "--upstream", f"http://{upstream}/v1"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    with parts.ended(process):
        local = parts.address(port, process, "the recorder")
        loops = [Loop(local, f"client {number}") for number in range(CLIENTS)]
        for loop in loops:
            loop.start()
        # the moment is what is tried here
        time.sleep(wait)
        killed = time.monotonic()
        process.kill()
        process.wait(LIMIT)
    for loop in loops:
        loop.join(LIMIT)
        expect(not loop.is_alive(), "a client goes on without the recorder")
    return loops, killed


def held(number, recording, loops, killed):
    """Every exchange that a client saw end is on file to its end. Returns how many, and the age of the youngest."""
    told = {exchange.body: exchange for exchange in recording.exchanges.values()}
    ended, youngest = 0, None
    for loop in loops:
        for body, answer, when in loop.ended:
            if when >= killed:
                # it may have ended after the recorder was dead: its bytes were on their way
                continue
            exchange = told.get(body.encode())
            age = f"{(killed - when) * 1e3:.2f} ms before kill {number}"
            expect(exchange is not None, f"an exchange that ended {age} is not on file")
            expect(exchange.answer == answer, f"the answer of an exchange that ended {age} is not whole on file")
            expect(exchange.end is not None and exchange.end["cause"] == "complete", f"an exchange that ended {age} has no end on file")
            ended += 1
            youngest = killed - when if youngest is None else min(youngest, killed - when)
    return ended, youngest


def read(program, file, torn):
    """`replay check` reads it, and says of it what is so: at most that its last line is torn."""
    done = subprocess.run([program, "check", file, "--format", "json"], capture_output=True, timeout=LIMIT)
    document = json.loads(done.stdout)
    problems = document.get("problems")
    if problems is None:
        # killed before the first request: there is nothing to check
        expect(done.returncode == 3 and "error" in document, f"check: {done.stdout.decode()[:300]}")
        return
    expect(done.returncode == 0, f"check ends with {done.returncode}: {done.stdout.decode()[:300]}")
    expect(len(problems) <= int(torn), f"check: {problems}")
