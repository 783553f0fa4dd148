"""The clients, in the versions that are held to. They are installed once, from wherever npm and pip are configured for."""

import platform
import shutil
import subprocess
import sys

CODEX = ("0.169.0", "0.8.0")
NODE = {"openai": "7.55.0", "@openai/agents": "0.20.0", "zod": "4.6.7"}
PYTHON = {"openai": "3.52.0", "openai-agents": "0.24.0"}
# the longest that one install may take, in seconds
LIMIT = 600


class Installs:
    """Where things are: a binary for each version of Codex, a Python, and a folder with node_modules."""

    def __init__(self, folder):
        self.codex = {version: binary(folder / "codex" / version / "node_modules/@openai") for version in CODEX}
        self.python = folder / "venv/bin/python"
        self.packages = folder / "sdk-node"

    def link(self, folder):
        """A folder with a name for each Codex, by which a recorder knows what it starts."""
        folder.mkdir()
        for version, program in self.codex.items():
            (folder / f"codex-{version}").symlink_to(program.resolve())
        return folder


def find(folder):
    """Installs what is missing. Returns the installs, or a sentence that says why there are none."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        return f"there is no {missing[0]}"
    steps = [(f"@openai/codex@{version}", lambda v=version: codex(folder / "codex" / v, v)) for version in CODEX]
    steps += [("the Node SDKs", lambda: node(folder / "sdk-node")), ("the Python SDKs", lambda: python(folder / "venv"))]
    reachable = None
    for name, step in steps:
        command = step()
        if command is None:
            continue
        if reachable is None:
            # one question first: without an answer nothing can be installed, and nothing is wrong
            asked = command_of("npm", "view", "zod", "version", "--fetch-retries=0", "--fetch-timeout=15000")
            done = run(asked, 60)
            if done.returncode != 0:
                return f"the package registry does not answer: {last_line(done)}"
            reachable = True
        print(f"installing {name}", flush=True)
        for part in command:
            done = run(part, LIMIT)
            if done.returncode != 0:
                raise SystemExit(f"{name} cannot be installed: {last_line(done)}")
    return Installs(folder)


def command_of(*parts):
    return [str(part) for part in parts]


def run(command, limit):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"not within {limit} s")


def last_line(done):
    lines = (done.stderr + done.stdout).strip().splitlines()
    said = [line for line in lines if "A complete log of this run" not in line]
    return said[-1] if said else f"status {done.returncode}"


def npm(folder, packages):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private":true,"type":"module"}\n')
    options = ("--no-save", "--no-audit", "--no-fund", "--no-package-lock", "--fetch-retries=1")
    return [command_of("npm", "install", "--prefix", folder, *options, *packages)]


def codex(folder, version):
    return None if binary(folder / "node_modules/@openai") else npm(folder, [f"@openai/codex@{version}"])


def node(folder):
    found = [(folder / "node_modules" / name / "package.json").exists() for name in NODE]
    return None if all(found) else npm(folder, [f"{name}@{version}" for name, version in NODE.items()])


def python(folder):
    wanted = [f"{name}=={version}" for name, version in PYTHON.items()]
    there = [f"{name.replace('-', '_')}-{version}.dist-info" for name, version in PYTHON.items()]
    if all(list(folder.glob(f"lib/*/site-packages/{name}")) for name in there):
        return None
    pip = command_of(folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted)
    return [command_of(sys.executable, "-m", "venv", "--clear", folder), pip]


def binary(folder):
    """The program itself, without the script of the package around it."""
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    system = {"Darwin": "apple-darwin"}.get(platform.system(), "unknown-linux-musl")
    target = f"{machine}-{system}"
    patterns = (f"*/vendor/{target}/bin/codex", f"*/vendor/{target}/codex/codex", f"codex/bin/codex-{target}")
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            return path
    return None
