# SPDX-License-Identifier: GPL-2.0-or-later
"""Test points in TAP, cases, and waiting with a deadline."""

import os
import signal
import sys
import time
import traceback

SAN = bool(os.environ.get("SAN"))
WITHOUT = bool(os.environ.get("FLOWPIN_WITHOUT"))
SLOWER = 2 if SAN else 1

_cases = []


class Skip(Exception):
    """Raised by skip(): the rest of the case is not run."""


class Abandon(Exception):
    """Raised by need(): the rest of the case makes no sense. The failed point was printed
    already."""


class NoDaemon(Exception):
    """Something asked for flowpind or flowpin while FLOWPIN_WITHOUT=1."""


class _State:
    points = passed = failed = skipped = 0
    case = None
    case_failed = 0


def _print(line):
    print(line, flush=True)


def note(text):
    """A TAP comment; several lines become several comments."""
    for line in str(text).splitlines() or [""]:
        _print("# " + line)


def _point(ok, text, directive=""):
    _State.points += 1
    name = f"{_State.case}: {text}" if _State.case else text
    _print(f"{'ok' if ok else 'not ok'} {_State.points} - {name}{directive}")
    if directive:
        _State.skipped += 1
    elif ok:
        _State.passed += 1
    else:
        _State.failed += 1
        _State.case_failed += 1
    return ok


def check(condition, text, detail=None):
    """One test point. detail (anything printable, or a function) is printed when it fails. Returns
    the condition."""
    condition = bool(condition)
    _point(condition, text)
    if not condition and detail is not None:
        note(detail() if callable(detail) else detail)
    return condition


def equal(got, wanted, text):
    """A test point that prints both sides when they differ."""
    return check(got == wanted, text, lambda: f"got {got!r}, wanted {wanted!r}")


def need(condition, text, detail=None):
    """Like check(), but the rest of the case is left out when it fails."""
    if not check(condition, text, detail):
        raise Abandon


def skip(why):
    """The present case cannot run here."""
    raise Skip(why)


def case_failed():
    """Whether a point of the present case failed (decides whether a lab prints its diagnosis)."""
    return _State.case_failed > 0


def seconds(s):
    """A deadline in seconds, doubled under SAN=1."""
    return s * SLOWER


def wait_until(condition, deadline, text=None, poll=0.02):
    """Waits until condition() is true, at most `deadline` seconds (doubled under SAN=1). Returns
    its last value.
    With `text` it is also a test point. An exception of condition() counts as false until the
    deadline."""
    end = time.monotonic() + seconds(deadline)
    error = None
    while True:
        try:
            value, error = condition(), None
        except (NoDaemon, Skip, Abandon):
            raise
        except Exception as e:  # pylint: disable=broad-except
            value, error = None, e
        if value or time.monotonic() >= end:
            break
        time.sleep(poll)
    if text is not None:
        why = f"not within {seconds(deadline)} s; last value {value!r}"
        check(value, text, why + (f", {error}" if error else ""))
    return value


def case(title, *args, **kwargs):
    """Decorator: the function is a case of this file; it is called with the further arguments. May
    be stacked, and may be used as a plain call for tables: for row in ROWS: case(row.title,
    row)(function)."""

    def register(fn):
        _cases.append((title, fn, args, kwargs))
        return fn

    return register


def _run_case(title, fn, args, kwargs):
    _State.case, _State.case_failed = title, 0
    began = time.monotonic()
    try:
        fn(*args, **kwargs)
    except Skip as e:
        _point(True, "skipped", f" # SKIP {e}")
    except Abandon:
        pass
    except NoDaemon as e:
        _point(False, f"needs the daemon: {e}")
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception:  # pylint: disable=broad-except
        _point(False, "ended by an exception")
        note(traceback.format_exc())
    finally:
        note(f"{title}: {time.monotonic() - began:.1f} s")
        _State.case = None


def _interrupt(signum, _frame):
    raise SystemExit(128 + signum)


def main():
    """Runs the registered cases (with arguments: those whose title contains one of them) and
    exits."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    words = sys.argv[1:]
    chosen = [c for c in _cases if not words or any(w in c[0] for w in words)]
    if os.geteuid() != 0:
        _print("1..0 # SKIP needs root for network namespaces")
        sys.exit(77)
    for title, fn, args, kwargs in chosen:
        _run_case(title, fn, args, kwargs)
    _print(f"1..{_State.points}")
    if _State.failed:
        sys.exit(1)
    sys.exit(0 if _State.passed else 77)
