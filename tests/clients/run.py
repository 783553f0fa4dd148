#!/usr/bin/env python3
"""Real clients through `replay record`. CONTRIBUTING.md says how to run it, and what it holds them to."""

import argparse
import os
import pathlib
import sys
import time
import traceback

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness import (appserver, codex, install, kills, parts, recovered, sdk, served, stories, sweeps,  # noqa: E402
                     traced)


def main():
    root = HERE.parent.parent
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--replay", type=pathlib.Path, default=root / "target/debug/replay", help="the program")
    reader.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains this")
    reader.add_argument("--kills", type=int, default=40, metavar="N", help="how often the recorder is killed (40)")
    reader.add_argument("--seed", type=int, default=1, help="when it is killed")
    reader.add_argument("--write-stories", action="store_true", help="record the sessions of rollouts/ again")
    reader.add_argument("--keep", action="store_true", help="keep the folder of the runs")
    arguments = reader.parse_args()
    program = arguments.replay.resolve()
    found = install.find(pathlib.Path(os.environ.get("REPLAY_CLIENTS") or root / "target/clients"))
    if isinstance(found, str):
        print(f"real clients: skipped: {found}")
        return 0
    failed = ran = 0
    began = time.monotonic()
    with parts.scratch(arguments.keep) as base:
        links = found.link(base / "bin")
        if arguments.write_stories:
            listed = [
                *stories.cases(program, links, found, HERE / "programs", root / "rollouts"),
                *appserver.stories(program, links, root / "rollouts"),
            ]
        else:
            listed = [
                *sdk.cases(program, found, HERE / "programs"),
                *codex.cases(program, links),
                *appserver.cases(program, links),
                *traced.cases(program, links),
                *served.cases(program, found, HERE),
                *sweeps.cases(program, links, HERE),
                *recovered.cases(program, links),
                ("kills", lambda base: kills.case(program, base, arguments.kills, arguments.seed)),
            ]
        for name, case in listed:
            if arguments.only not in name:
                continue
            ran += 1
            started = time.monotonic()
            folder = base / name
            folder.mkdir()
            try:
                said = case(folder)
                print(f"ok    {name}  {time.monotonic() - started:.1f} s  {said}", flush=True)
            except parts.Failed as error:
                failed += 1
                print(f"FAIL  {name}  {error}", flush=True)
            except Exception:
                failed += 1
                print(f"FAIL  {name}", flush=True)
                traceback.print_exc(file=sys.stdout)
    print(f"real clients: {ran - failed} of {ran} cases, {time.monotonic() - began:.0f} s")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
