"""The processes a case is made of: the served endpoint, the recorder, the client. Each wait has an end."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request

# what clients are given as their key; it must not reach a file
KEY = "sk-planted-9f86d081884c7d659a2feaa0c55ad015"
# the longest that anything here may take, in seconds
LIMIT = 30


class Failed(Exception):
    """A case found something that is not as it should be."""


def expect(fine, what):
    if not fine:
        raise Failed(what)


def until(condition, what, limit=LIMIT, process=None):
    """Waits for something that will happen, and says what did not."""
    end = time.monotonic() + limit
    while True:
        found = condition()
        if found:
            return found
        if process is not None and process.poll() is not None:
            found = condition()
            if found:
                return found
            raise Failed(f"{what}: the process ended with {process.returncode} before that")
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {limit} s")
        time.sleep(0.005)


class Folder:
    """A folder for one run of one client, with a home and a place to work in."""

    def __init__(self, base, name):
        self.path = pathlib.Path(base) / name
        self.home = self.path / "home"
        self.work = self.path / "work"
        self.home.mkdir(parents=True)
        self.work.mkdir()

    def environment(self, **more):
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        return {**kept, "HOME": str(self.home), "CODEX_HOME": str(self.home), "OPENAI_API_KEY": KEY, "RUST_LOG": "off", **more}


@contextlib.contextmanager
def ended(process):
    """Ends a process that was started here, whatever happens."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(LIMIT)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def address(path, process, what):
    """Waits for a port file and reads it."""
    until(path.exists, f"{what} listens", process=process)
    return path.read_text().strip()


@contextlib.contextmanager
def served(program, folder, script, *arguments):
    """The endpoint, with equal ids in every run. Yields its `host:port`."""
    told, port = folder.path / "script.json", folder.path / "serve.port"
    told.write_text(json.dumps(script))
    command = [program, "serve", "-q", "--script", told, "--port-file", port, "--seed", "7", "--chunks", "exact", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    with ended(process):
        yield address(port, process, "the endpoint")
        process.send_signal(signal.SIGTERM)
        expect(process.wait(LIMIT) == 0, f"the endpoint ended with {process.returncode}")


def journal(place):
    """Every request that the endpoint saw."""
    with urllib.request.urlopen(f"http://{place}/_replay/requests", timeout=LIMIT) as answer:
        return json.load(answer)["requests"]


@contextlib.contextmanager
def recorded(program, folder, upstream, *arguments):
    """A recorder that stays up. Yields its `host:port`; the file is whole afterwards."""
    port, file = folder.path / "record.port", folder.path / "session.jsonl"
    command = [program, "record", "-q", "-o", file, "--listen", "127.0.0.1:0", "--port-file", port]
    command += ["--upstream", f"http://{upstream}/v1", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    with ended(process):
        yield address(port, process, "the recorder")
        process.send_signal(signal.SIGINT)
        expect(process.wait(LIMIT) == 0, f"the recorder ended with {process.returncode}")


class Client:
    """A client that was started, with what it has printed so far."""

    def __init__(self, command, folder, environment, talks=False):
        self.process = subprocess.Popen(
            [str(part) for part in command],
            cwd=folder.work,
            env=environment,
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=open(folder.path / "stderr.txt", "ab"),
        )
        self.folder = folder
        self.lines = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"text": line.decode(errors="replace")})

    def wait_for(self, condition, what):
        """Waits for a line that the client prints."""
        return until(lambda: next(filter(condition, list(self.lines)), None), what, process=self.process)

    def tell(self, value):
        self.process.stdin.write(json.dumps(value).encode() + b"\n")
        self.process.stdin.flush()

    def status(self, limit=LIMIT):
        """Waits for its end."""
        try:
            status = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Failed(f"the client did not end within {limit} s") from None
        self.reader.join(LIMIT)
        expect(not self.reader.is_alive(), "what the client printed does not end")
        return status

    def stderr(self):
        return (self.folder.path / "stderr.txt").read_text(errors="replace")


@contextlib.contextmanager
def client(command, folder, environment, talks=False):
    running = Client(command, folder, environment, talks)
    with ended(running.process):
        yield running


@contextlib.contextmanager
def scratch(keep=False):
    """A folder for all of it. Its name is what recordings may hold of this machine."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="replay-clients-", dir="/tmp" if os.path.isdir("/tmp") else None))
    try:
        yield path
    finally:
        if keep:
            print(f"kept: {path}")
        else:
            shutil.rmtree(path, ignore_errors=True)


def end_tool(folder):
    """Ends a tool that a client left running: it wrote its process id."""
    for file in folder.work.glob("*.pid"):
        with contextlib.suppress(ValueError, OSError):
            os.kill(int(file.read_text()), signal.SIGKILL)
