#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults under load, for as long as you like: `make soak`.

  SOAK_TIME=10m     how long (s, m, h)           SOAK_SEED=n    repeats a sequence of events exactly
  SOAK_FLOWS=2000   connections                  SOAK_ONLY=word only events whose name contains it

Each line "# n +seconds event" is the record. The sequence depends on the seed alone, how far it comes on the time."""

import os
import resource
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "netns", "lib")]
# pylint: disable=wrong-import-position
import tap
from events import sequence
from world import VERIFY_S, World, own_mounts

UNITS = {"s": 1, "m": 60, "h": 3600}
RECORD_MAX = 20


def duration(text):
    return float(text[:-1]) * UNITS[text[-1]] if text[-1:] in UNITS else float(text)


def step(world, event, rng):
    """One event, and what must hold after it: whether it did, how many connections the event broke, how long verify took."""
    world.said = ""
    clean, wait, said = world.quiet()
    tap.check(clean, f"before {event.name}: verify is clean", lambda: world.d.try_flowpin("verify"))
    if wait > VERIFY_S:
        tap.note(f"before {event.name}: clean {wait:.1f} s after the last turn-over, having said\n" + "\n".join(said[:RECORD_MAX]))
    world.remember()
    event.apply(world, rng)
    allowed = list(event.may_break(world))
    if event.undo:
        event.undo(world, rng)
        allowed += event.may_break(world)
    broken, may = world.holds(allowed)
    clean, took, said = world.verify()
    world.turn_over(rng)
    world.sample()
    if took > VERIFY_S:
        tap.note(f"{event.name}: verify, one after the other:\n" + "\n".join(said[:RECORD_MAX]))
    ok = tap.check(not broken, f"{event.name}: no connection broke that it could not avoid", lambda: "\n".join(broken[:RECORD_MAX]))
    ok &= tap.check(clean, f"{event.name}: verify is clean", lambda: world.d.try_flowpin("verify"))
    ok &= tap.check(all(d.running() for d in (world.d, world.mirror, world.eapi)), f"{event.name}: every daemon runs")
    return ok, may, took


def soak(seconds, seed, flows, short=False, only=""):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    tap.note(f"SOAK_SEED={seed} SOAK_TIME={seconds:g}s SOAK_FLOWS={flows}" + (f" SOAK_ONLY={only!r}" if only else ""))
    with World(flows, short) as world:
        begin, done, slow = time.monotonic(), 0, 0
        for n, event, rng in sequence(seed, short):
            if time.monotonic() - begin > seconds:
                break
            if only and only not in event.name:
                continue
            at = time.monotonic() - begin
            ok, may, took = step(world, event, rng)
            done += 1
            slow += took > VERIFY_S
            tap.note(f"{n} +{at:.1f} {event.name}" + (f": {world.said}" if world.said else "") + (f" ({may} connections lost)" if may else "")
                     + f", {time.monotonic() - begin - at:.1f} s, verify {took:.1f} s")
            if not ok:
                tap.note(f"repeat it: make soak SOAK_SEED={seed} SOAK_FLOWS={flows}" + (" (short)" if short else ""))
        tap.check(done > 0, f"{done} events")
        tap.note(f"verify took longer than {VERIFY_S} s to be clean after {slow} of them")
        tap.check(not world.logs.too_often, "no log line was repeated more than once a second", lambda: world.logs.too_often)
        grown = list(world.growth())
        tap.check(not grown, "neither descriptors nor memory grew", lambda: "\n".join(grown))


def main():
    own_mounts()
    seed = int(os.environ.get("SOAK_SEED") or int.from_bytes(os.urandom(2), "big"))
    seconds = duration(os.environ.get("SOAK_TIME") or "10m")
    tap.case(f"seed {seed}", seconds, seed, int(os.environ.get("SOAK_FLOWS") or 2000), False, os.environ.get("SOAK_ONLY") or "")(soak)
    tap.main()


if __name__ == "__main__":
    main()
