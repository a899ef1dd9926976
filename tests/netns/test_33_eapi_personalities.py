#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Twenty switches, each with other answers to what nobody knows of EOS. SEEDS='7 8' runs these."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from eapi_world import *  # noqa

SEEDS = [int(s) for s in os.environ.get("SEEDS", "").split()] or list(range(1, 21))


def personality(seed):
    with World("max-flows = 400", {"missing-is-error": "yes"} if seed == 1 else {}, personality=seed) as w:
        w.start()
        theirs = w.theirs()
        w.pind.wish_all(flows4(30), A)
        w.pind.wish_all(flows4(20, 31000), B)
        w.pind.wish_all([tuple6(32000 + i) for i in range(10)], A6)
        note(f"seed {seed}: " + " ".join(f"{k}={v}" for k, v in sorted(w.sim.knobs.items()) if v))
        w.converge("60 flows are programmed", 60)
        w.pind.wish_all(flows4(10), B)
        for t in flows4(10, 31000) + [tuple6(32000 + i) for i in range(5)]:
            w.pind.unwish(t)
        w.converge("some are moved, some end", 60)
        w.eapi.kill()
        w.pind.stop(forget=True)
        w.pind.start()
        w.eapi.start()
        check(wait_until(lambda: len(w.pind.states("adopted")) == 45, 40), "45 are adopted", w.detail())
        wait_until(lambda: sum(o.get("nexthop") == B for o in w.pind.observed.values()) == 20, 5, "with their nexthops")
        equal(w.theirs(), theirs, "other users' flows are as they were")


for number in SEEDS:
    case(f"personality {number}", number)(personality)

main()
