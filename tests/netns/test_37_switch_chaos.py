#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The switch reboots, its DirectFlow agent restarts, daemons are killed, in any order, while flows come and go. SEED=n repeats an order,
SEEDS=n runs as many.

The route does not change meanwhile, so a fault that empties the table moves nothing by itself: whatever breaks was broken by us.

Where the gateway itself has a route to the servers, conntrack's entries name them, and any order is right. Where only the switch has
one, the switch and flowpind know: when one lost what it knew, it has to have it back before the other one does (flowpin-eapi(8))."""

import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa
from switchlab import Beside, SwitchLab, knows_routes

IDLE, N, TURNOVER, FAULTS = 20, 120, 12, 8
FIRST = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(2), "big")


def restart(daemon):
    daemon.kill()
    time.sleep(random.random())
    daemon.start()


def operate(op):
    return lambda lab, beside: lab.sim.control(op, ms=random.choice((200, 1000)))


EMPTY = ("reboot", "agent-restart")  # the switch's table
FORGET = ("kill flowpind", "kill all")
UNINFORMED = ("kill flowpin-eapi", "kill all")  # of the switch's routes

# Whether somebody listens to the mirror meanwhile, and knows the routes. First packets that nobody hears are in no table, and nobody can
# know of them; which way those went that came before flowpin-eapi had read a route is uncertain for good.
EVENTS = {
    "reboot": (operate("reboot"), True),
    "agent-restart": (operate("agent-restart"), True),
    "the API is down": (operate("down"), True),
    "connections are dropped": (lambda lab, beside: lab.sim.control("drop-connections"), True),
    "kill flowpin-eapi": (lambda lab, beside: restart(beside.eapi), False),
    "kill flowpind": (lambda lab, beside: restart(beside.d), False),
    "kill flowpin-mirror": (lambda lab, beside: restart(beside.mirror), False),
    "kill all": (lambda lab, beside: [d.kill() for d in (beside.d, beside.eapi, beside.mirror)]
                 and [d.start() for d in (beside.d, beside.eapi, beside.mirror)], False),
}


def turn_over(pool):
    """Some end, others begin: these are returned."""
    pool.end(random.sample(pool.flows, TURNOVER))
    fresh = pool.open(TURNOVER, wait=False)
    pool.exchange(flows=fresh)
    return fresh


def entry(src, sport):
    return f"fp-1-tcp-{src.replace('.', '_')}-{sport}-1_1_1_1-80"


def programmed(lab):
    """{name: address} of what the simulator's hardware really has of ours."""
    return {name: f["nexthops"][0] for name, f in lab.sim.programmed().items() if name.startswith("fp-")}


def configured(lab):
    return {name for name in lab.sim.flows() if name.startswith("fp-")}


def known(beside):
    """{name: address} of flowpin flows."""
    return {entry(f["src"], f["sport"]): f["nexthop"].split("%")[0] for f in beside.d.flows()}


def wanted(lab, pool):
    return {entry(f.src, f.sport): lab.address_of(f.server) for f in pool.flows if f.state == "up"}


def answered(lab, beside, pool, unheard):
    """Of each connection that somebody heard of flowpind knows where it is."""
    flows = known(beside)
    return all(flows.get(k) == v for k, v in wanted(lab, pool).items() if k not in unheard)


def agree(lab, beside, pool, unheard):
    """Flow by flow: connections, flowpind and hardware say the same. Those that nobody heard of may be missing, in both alike."""
    living, have = wanted(lab, pool), programmed(lab)
    s = beside.switch()
    return (s["reachable"] and s["desired"] == s["programmed"] == len(have) and not s["pending"] and not s["deleting"]
            and known(beside) == have and configured(lab) == set(have)
            and {k: v for k, v in living.items() if k in have or k not in unheard} == have)


def difference(lab, beside, pool, unheard):
    living, have, flows = wanted(lab, pool), programmed(lab), known(beside)
    return (f"not in hardware: {sorted(set(living) - set(have) - unheard)[:5]}; too many there: {sorted(set(have) - set(living))[:5]}; "
            f"elsewhere: {[(k, v, living[k]) for k, v in have.items() if k in living and living[k] != v][:5]}; flowpind against hardware: "
            f"{sorted(set(flows.items()) ^ set(have.items()))[:6]}; {beside.switch()}")


def chaos(seed, hybrid):
    random.seed(seed)
    with SwitchLab(3, knobs={"reboot-forwards": "yes", "boot-wobble-ms": "300"}, shared=hybrid) as lab:
        lab.resolve()
        lab.announce(lab.servers)
        if hybrid:
            lab.route(lab.servers)
        lab.mirror(["syn", "fin", "rst"])
        beside = Beside(lab, idle=f"{IDLE}s")
        pool = TcpPool(lab, N)
        need(pool.result().all_held, f"{N} connections are open", pool.result)
        pool.start(0.3)
        wait_until(lambda: agree(lab, beside, pool, set()), 60, "they are in DirectFlow, and nothing else", poll=0.2)
        names = list(EVENTS)
        random.shuffle(names)
        unheard, lost, informed = set(), (), True  # unheard: names
        for name in (names * 2)[:FAULTS]:
            event, heard = EVENTS[name]
            if not hybrid and name in lost:
                wait_until(lambda: agree(lab, beside, pool, unheard), 60, f"before {name}: what was lost is back", poll=0.2)
            lost = EMPTY if name in FORGET else FORGET if name in EMPTY else lost
            if not heard:  # what was begun at earlier events, while the switch did not answer
                wait_until(lambda: answered(lab, beside, pool, unheard), 30, f"before {name}: every question is answered", poll=0.1)
            informed = informed or knows_routes(beside.d, 0.05)
            fresh = turn_over(pool)
            event(lab, beside)
            informed &= name not in UNINFORMED
            fresh += turn_over(pool)
            r = pool.exchange(deadline=30)
            check(r.all_held, f"{name}: none broke", r)
            # Begun around the time when nobody listened, or nobody was told yet which nexthop it was.
            if not heard or not informed:
                unheard |= {entry(f.src, f.sport) for f in fresh}
        check(knows_routes(beside.d, 30), "flowpin-eapi is back, and knows the routes")
        pool.open(20)
        ok = wait_until(lambda: agree(lab, beside, pool, unheard), 90, poll=0.3)
        check(ok, "it converges: connections, wishes and hardware are the same, flow by flow", lambda: difference(lab, beside, pool, unheard))
        have = programmed(lab)
        note(f"{len(have)} of {len(pool.flows)} are placed; {len(unheard)} began when nobody may have listened")
        check(set(wanted(lab, pool)) - unheard <= set(have), "none is missing but of those that nobody heard of")
        wait_until(beside.d.verify_clean, 30, "verify is clean", poll=0.2)
        lab.announce(["s1", "s2"])
        pool.exchange(deadline=10)
        held = [f for f in pool.flows if entry(f.src, f.sport) in have]
        check(pool.result(held).all_held, "a server is withdrawn: of those that are placed none broke", lambda: pool.result(held))


for n in range(FIRST, FIRST + int(os.environ.get("SEEDS", "1"))):
    case(f"SEED={n}", n, False)(chaos)
    case(f"SEED={n}, and the gateway has a route, too", n, True)(chaos)

main()
