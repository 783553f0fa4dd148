"""The official SDKs against `replay serve`: the programs beside this folder, each around a server of its own."""

import os
import subprocess

from . import parts

LIMIT = 120


def cases(program, installs, here):
    commands = {
        "serve-python": [str(installs.python), str(here / "responses.py")],
        "serve-node": ["node", str(here / "responses.mjs")],
    }
    return [
        (name, lambda _base, command=command: run(program, command, installs.packages))
        for name, command in commands.items()
    ]


def run(program, command, packages):
    # the Node program finds its package from the folder it is started in
    done = subprocess.run(
        [str(program), "serve", "--profile", "openai", "--allow-refused", "--", *command],
        cwd=packages,
        env={**os.environ, "OPENAI_API_KEY": "replay"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        raise parts.Failed(f"status {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else "nothing said"
