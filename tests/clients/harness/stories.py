"""Records the sessions of `rollouts/` that real clients make, and writes them where they stand.

What they hold of this machine is a folder for temporary files. What `replay` must say of them is held by
tests/it/stories.rs; `story.md` and the promises are written by hand."""

import os
import shutil

from . import codex, compare, parts, scripts, sdk, verdict
from .recording import Recording


def of_sdk(program, language, programs, base, kind, scenario, target):
    """A program of a few lines, started by the recorder under a name that tells nothing of this machine."""
    _, command, more = language
    folder = parts.Folder(base, "story")
    name = command[-1].name
    shutil.copy(programs / name, folder.work / name)
    environment = folder.environment(**more)
    started = "node"
    if name.endswith(".py"):
        started = "python"
        environment["PATH"] = f"{command[0].parent}{os.pathsep}{environment['PATH']}"
    with parts.served(program, folder, scripts.script(scenario, sdk.CALL)) as upstream:
        command = [program, "record", "-q", "-o", folder.path / "session.jsonl", "--", started, name, kind, scenario]
        printed = sdk.finish(command, folder, {**environment, "OPENAI_BASE_URL": f"http://{upstream}/v1"})
        seen = parts.journal(upstream)
    sdk.held(program, language[0], kind, scenario, folder, printed, seen)
    return keep(folder.path / "session.jsonl", target / "session.jsonl")


def of_codex(program, links, base, scenario, target):
    """Codex 0.8.0, with its rollout beside the recording."""
    client = codex.Codex("codex-0.8", "codex-0.8.0", "0.8.0")
    folder = parts.Folder(base, "story")
    path = f"{links}{os.pathsep}{os.environ['PATH']}"
    codex.proto(program, client, folder, scenario, True, {"PATH": path})
    file = folder.path / "1.jsonl"
    compare.no_secret(Recording(file))
    verdict.holds(program, file, *codex.SAID[scenario])
    (rollout,) = codex.rollouts(folder).values()
    keep(rollout, target / "rollout.jsonl")
    return keep(file, target / "session.jsonl")


def keep(source, target):
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)
    return f"{target.stat().st_size} bytes in {target.parent.name}"


def cases(program, links, installs, programs, rollouts):
    languages = sdk.languages(installs, programs)
    told = (
        ("agents-python-second-stream", "python", "agents", "second-stream"),
        ("agents-node-abort-in-tool", "node", "agents", "in-tool"),
    )
    for name, language, kind, scenario in told:
        yield name, lambda base, a=(languages[language], programs), b=(kind, scenario, rollouts / name): of_sdk(program, *a, base, *b)
    name = "codex-0.8-second-stream"
    yield name, lambda base: of_codex(program, links, base, "second-stream", rollouts / name)
