"""`replay sweep` with a real client: Codex 0.8.0 leaves an output behind in its second stream, 0.169.0 does not."""

import json
import os
import subprocess

from .parts import LIMIT, Folder, expect

PROVIDER = 'model_providers.mock={name="mock",base_url="{base_url}",env_key="OPENAI_API_KEY",wire_api="responses"}'
FLAGS = f"-c model_provider=mock -c '{PROVIDER}' --dangerously-bypass-approvals-and-sandbox --skip-git-repo-check -C {{work}}"
MISSING = "No tool output found for function call call_A."
# by version: the session, how the next turn is started, and what is found in each stream
CLIENTS = {
    "0.169.0": ("sweep-exec-command", "resume {session} continue", {"accepted"}),
    "0.8.0": ("sweep-shell", "-c experimental_resume={rollout} continue", {"stuck"}),
}


def case(program, links, sessions, base, version):
    session, resume, expected = CLIENTS[version]
    folder = Folder(base, "home")
    codex = f"{links / f'codex-{version}'} exec {FLAGS}"
    command = [program, "sweep", sessions / f"{session}.session.jsonl", "--first", f"{codex} begin", "--next", f"{codex} {resume}"]
    # where nothing came, in the middle, in the second stream, at the end
    command += ["--cuts", "5", "--interrupt", "sigkill", "--case-timeout", "9", "--settle", "500", "--format", "json"]
    environment = {**folder.environment(), "TMPDIR": str(folder.path), "PATH": os.environ.get("PATH", "")}
    done = subprocess.run(command, cwd=folder.work, env=environment, capture_output=True, timeout=4 * LIMIT, stdin=subprocess.DEVNULL)
    expect(done.returncode in (0, 1), f"sweep ends with {done.returncode}: {done.stderr.decode()[-300:]}")
    results = json.loads(done.stdout)["results"]
    expect(len(results) == 5, f"{len(results)} cases")
    second = [it for it in results if it["second_stream"] and it["stage"] == "answering"]
    expect(second, "no case in the second stream")
    found = {it["did"] for it in second}
    expect(found == expected, f"in the second stream: {found}, not {expected}: {second}")
    if "stuck" in expected:
        expect(second[0]["message"] == MISSING, f"it says {second[0]['message']}")
    return ", ".join(f"{it['stage']} {it['did']}" for it in results)


def cases(program, links, here):
    for version in CLIENTS:
        yield f"sweep-codex-{version}", lambda base, version=version: case(program, links, here / "sweep", base, version)
