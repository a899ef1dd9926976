#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# long
"""The switch reboots, its DirectFlow agent restarts, daemons are killed, in any order, while flows come and go. SEED=n repeats an order.

The route does not change meanwhile, so a fault that empties the table moves nothing by itself: whatever breaks was broken by us."""

import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab

IDLE, N, TURNOVER, FAULTS = 4, 200, 20, 8
FIRST = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(2), "big")


def restart(daemon):
    daemon.kill()
    time.sleep(random.random())
    daemon.start()


def operate(op):
    return lambda lab, beside: lab.sim.control(op, ms=random.choice((200, 1000)))


EVENTS = {
    "reboot": operate("reboot"), "agent-restart": operate("agent-restart"), "the API is down": operate("down"),
    "connections are dropped": lambda lab, beside: lab.sim.control("drop-connections"),
    "kill flowpind": lambda lab, beside: restart(beside.d),
    "kill flowpin-eapi": lambda lab, beside: restart(beside.eapi),
    "kill flowpin-mirror": lambda lab, beside: restart(beside.mirror),
    "kill all": lambda lab, beside: [d.kill() for d in (beside.d, beside.eapi, beside.mirror)]
                                    and [d.start() for d in (beside.d, beside.eapi, beside.mirror)],
}


def turn_over(pool):
    """Some end, others begin."""
    pool.end(random.sample(pool.flows, TURNOVER))
    pool.open(TURNOVER, wait=False)


def converged(lab, beside, pool):
    """What is in hardware is just what is desired: living connections on their servers."""
    s = beside.switch()
    have = lab.programmed()
    alive = {(6, f.src, f.sport): f.server for f in pool.flows if f.state == "up"}
    return (s["reachable"] and s["desired"] == s["programmed"] == len(have) and not s["pending"] and not s["deleting"]
            and all(alive.get(k) == v for k, v in have.items()))


@case(f"seed {FIRST}", FIRST)
@case(f"seed {FIRST + 1}", FIRST + 1)
def chaos(seed):
    random.seed(seed)
    with SwitchLab(3, knobs={"reboot-forwards": "yes", "boot-wobble-ms": "300"}) as lab:
        lab.resolve()
        lab.announce(lab.servers)
        lab.mirror(["syn", "fin", "rst"])
        beside = Beside(lab, idle=f"{IDLE}s")
        pool = TcpPool(lab, N)
        need(pool.result().all_held, "200 connections are open", pool.result)
        pool.start(0.3)
        wait_until(lambda: lab.pinned(pool), 15, "they are in DirectFlow", poll=0.1)
        names = list(EVENTS)[:]
        random.shuffle(names)
        for name in (names * 2)[:FAULTS]:
            note(name)
            turn_over(pool)
            EVENTS[name](lab, beside)
            turn_over(pool)
            r = pool.exchange()
            check(r.all_held, f"{name}: none broke", r)
        last = len(pool.flows)
        wait_until(lambda: converged(lab, beside, pool), 60, "it converges: hardware, wishes and living connections agree", poll=0.2)
        pool.open(50)
        wait_until(lambda: converged(lab, beside, pool) and len(lab.programmed()) >= 50, 30, "and goes on: new ones are placed", poll=0.2)
        placed = {k for k in lab.programmed()}
        note(f"{len(placed)} of {last + 50} are placed; the others began while nobody listened")
        lab.announce(["s1", "s2"])
        pool.exchange(deadline=5)
        held = [f for f in pool.flows if (6, f.src, f.sport) in placed]
        check(pool.result(held).all_held, "a server is withdrawn: of those that are placed none broke", lambda: pool.result(held))
        wait_until(beside.d.verify_clean, 15, "verify is clean", poll=0.2)


main()
