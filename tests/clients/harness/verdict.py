"""What `replay` says of a file."""

import json
import subprocess

from .parts import LIMIT, expect


def replayed(program, file, *arguments):
    """The first run and the exit status."""
    done = subprocess.run([program, file, "--format", "json", *arguments], capture_output=True, timeout=LIMIT)
    document = json.loads(done.stdout)
    expect("sessions" in document, f"replay {file.name}: {done.stdout.decode()[:300]}")
    return document["sessions"][0], done.returncode


def holds(program, file, verdict, refusal=None, recovered=None):
    """Holds a file to its verdict, and `check` to `replay`."""
    session, status = replayed(program, file)
    run = session["runs"][0]
    refusals = [it["refusal"]["message"] for it in run["requests"] if it["refusal"]]
    said = f"{run['verdict']}, reproduced {run['reproduced']}, {refusals}"
    expect(run["verdict"] == verdict, f"{file.name}: {verdict} expected, replay says {said}")
    expect(not session["problems"], f"{file.name}: {session['problems'][:2]}")
    if verdict == "refused":
        expect(status == 1 and run["reproduced"] is True, f"{file.name}: replay says {said}")
        expect(any(refusal in message for message in refusals), f"{file.name}: not {refusal!r}: {refusals}")
    else:
        expect(status == 0, f"{file.name}: replay exits {status}")
    for strategy, outcome in (recovered or {}).items():
        session, _ = replayed(program, file, "--recover", strategy)
        found = session["runs"][0]["verdict"]
        expect(found == outcome, f"{file.name}: --recover {strategy} is {found}, not {outcome}")
    checked(program, file, verdict == "refused")


def checked(program, file, has_error):
    """Holds `check` to the verdict: an error exactly where the default run is refused; no problem in reading."""
    done = subprocess.run([program, "check", file, "--format", "json"], capture_output=True, timeout=LIMIT)
    document = json.loads(done.stdout)
    expect("findings" in document, f"check {file.name}: {done.stdout.decode()[:300]}")
    errors = [it["message"] for it in document["findings"] if it["severity"] == "error"]
    expect(bool(errors) == has_error and done.returncode == int(has_error), f"check {file.name}: {done.returncode}, {errors}")
    expect(not document["problems"], f"check {file.name}: {document['problems'][:2]}")
