# SPDX-License-Identifier: GPL-2.0-or-later
"""What the checks of the source share. Each check prints TAP and runs alone; with a directory as argument it looks at that tree
instead, so that a check can be seen failing on a copy that was broken on purpose."""

import os
import re
import shutil
import sys

ROOT = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
SKIPPED = 77
_points = {"passed": 0, "failed": 0, "skipped": 0}


def files(*patterns):
    """Paths below ROOT, relative, that match one of the regular expressions; build/ and hidden directories are left out."""
    found = []
    for directory, names, entries in os.walk(ROOT):
        names[:] = sorted(n for n in names if n not in ("build", "__pycache__") and not n.startswith(".git"))
        for entry in sorted(entries):
            path = os.path.relpath(os.path.join(directory, entry), ROOT)
            if any(re.fullmatch(p, path) for p in patterns):
                found.append(path)
    return found


def text(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def shebang(path):
    with open(os.path.join(ROOT, path), "rb") as f:
        first = f.readline(100)
    return first.decode("ascii", "replace").strip() if first.startswith(b"#!") else ""


def code(path):
    """A C file with comments and the inside of strings blanked; lines stay where they are."""
    def blank(match):
        found = match.group(0)
        if found.startswith("/"):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + " " * (len(found) - 2) + found[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text(path), flags=re.S)


def point(what, problems):
    """One test point: fails with each problem as a comment."""
    problems = list(problems)
    _points["failed" if problems else "passed"] += 1
    print(f"{'not ok' if problems else 'ok'} {sum(_points.values())} - {what}")
    for problem in problems[:200]:
        for line in str(problem).splitlines():
            print(f"#   {line}")


def skip(what, why):
    _points["skipped"] += 1
    print(f"ok {sum(_points.values())} - {what} # SKIP {why}")


def missing(what, *programs):
    """True, and a skipped point, when a program is not installed."""
    for program in programs:
        if not shutil.which(program):
            skip(what, f"{program} is not installed")
            return True
    return False


def end():
    print(f"1..{sum(_points.values())}")
    if _points["failed"]:
        sys.exit(1)
    sys.exit(0 if _points["passed"] else SKIPPED)
