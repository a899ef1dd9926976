# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to the soak's world: a table of events. Each has a weight, what it does and how it is undone (both get the world and a
generator of random numbers that depends on the seed and the event's number alone), and which connections it may break, with the
reason. A connection that an event may not break must hold through it."""

import collections
import os
import random
import signal
import subprocess
import time

import tap
from flood import flood
from lab import VIP4
from rude import Client

Event = collections.namedtuple("Event", "name weight apply undo may_break")


def nobody(_world):
    """No connection: pins, entries and routes of flowpin hold them."""
    return []


def pause(low, high, rng):
    """A fault lasts for so long: that is the fault, not a hope."""
    time.sleep(rng.uniform(low, high))


# --- routes

def route(world, rng):
    some = rng.sample(world.lab.servers, rng.randint(1, len(world.lab.servers)))
    weights = {s: rng.choice((1, 1, 2, 5)) for s in some}
    for family in (4, 6):
        world.lab.route(weights, family)
    world.said = f"via {weights}"


def all_routes(world, _rng=None):
    for family in (4, 6):
        world.lab.route(world.lab.servers, family)


def hash_policy(world, rng):
    value = rng.choice((0, 1))
    world.lab.sysctl("gw", **{"net.ipv4.fib_multipath_hash_policy": value, "net.ipv6.fib_multipath_hash_policy": value})
    world.said = str(value)


def hash_policy_back(world, _rng):
    world.lab.sysctl("gw", **{"net.ipv4.fib_multipath_hash_policy": 1, "net.ipv6.fib_multipath_hash_policy": 1})


def switch_route(world, rng):
    """Only once every mirrored connection is in the table: before, the switch's ECMP is all that it has."""
    tap.wait_until(world.mirrored_pinned, 120, poll=0.3)
    world.unpinned = world.not_in_switch()
    for f in world.unpinned[:3]:
        shown = world.d.try_flowpin("show", "tcp", f"{f.src}:{f.sport}", f"{VIP4}:80")
        tap.note(f"{f.src} {f.sport} is not in the switch: " + "; ".join((shown.out + shown.err).splitlines()))
    some = rng.sample(world.lab.servers, rng.randint(1, len(world.lab.servers)))
    world.lab.announce(some)
    world.said = f"via {some}"


def switch_route_back(world, _rng):
    world.unpinned += world.not_in_switch()
    world.lab.announce(world.lab.servers)


def unpinned(world):
    """Mirrored connections that were not in the switch's table when its routes changed: they follow its ECMP."""
    return world.unpinned


# --- links and neighbours

def carrier(world, server, up):
    n = world.lab.servers.index(server) + 1
    world.lab.ip(f"b{n}", f"link set gateway {'up' if up else 'down'}")


def flap(world, rng):
    server = rng.choice(world.lab.servers)
    carrier(world, server, False)
    pause(0.1, 0.5, rng)
    carrier(world, server, True)
    world.said = server


def link_loss(world, rng):
    world.victim = rng.choice(world.lab.servers)
    carrier(world, world.victim, False)
    pause(2, 4, rng)
    world.said = world.victim


def link_back(world, _rng):
    carrier(world, world.victim, True)
    tap.wait_until(lambda: all(b["health"] == "alive" for b in world.d.nexthops()), 60)


def on_victim(world):
    """Connections by the gateway to the server that it lost: flowpind releases a dead nexthop's flows at once."""
    return [f for p in world.by_gateway for f in p.flows if world.before.get(f, f.server) == world.victim]


def forget_neighbours(world, _rng):
    """Packets bring them back meanwhile, which ip gives up about after ten rounds: each was forgotten at least once."""
    for router in ("gw", "sw"):
        world.lab.run(router, "ip neigh flush all", check=False)


def resolve(world, _rng):
    """A switch asks for its nexthops by itself; the simulated one only forwards."""
    for family in (4, 6):
        world.lab.resolve(family)


# --- daemons

def kill(name):
    def apply(world, rng):
        daemon = getattr(world, name)
        daemon.kill(signal.SIGKILL)
        pause(0.1, 2, rng)
        daemon.start(deadline=60)
    return apply


def restart(world, rng):
    name = rng.choice(("d", "mirror", "eapi"))
    getattr(world, name).restart(deadline=60)
    world.said = name


def clock_step(world, rng):
    """The clock that flowpind lives by is another one after a restart, as after a reboot: hours on, or back near zero. (The wall
    clock cannot be set without the machine's; flowpind uses it for `release-at` and to print dates, see SECURITY.md.)"""
    offset = rng.choice((3600, 1_000_000, 40_000_000))
    world.d.kill(signal.SIGKILL)
    world.d.clock_offset = offset
    try:
        world.d.start(deadline=60)
    finally:
        world.d.clock_offset = 0
    world.said = f"{offset} s"


def memory_limit(world, rng):
    """No further megabyte: flowpind may refuse work, or end and be started again."""
    daemon = getattr(world, rng.choice(("d", "mirror", "eapi")))
    with open(f"/proc/{daemon.pid}/status", encoding="ascii") as f:
        size = next(int(line.split()[1]) for line in f if line.startswith("VmSize")) * 1024
    run = subprocess.run(["prlimit", f"--pid={daemon.pid}", f"--as={size + (1 << 20)}:"], check=False, capture_output=True)
    tap.check(run.returncode == 0, "prlimit", run.stderr)
    world.turn_over(rng)
    for _ in range(3):
        daemon.try_flowpin("flows")
    pause(0.5, 1, rng)
    if daemon.running():
        subprocess.run(["prlimit", f"--pid={daemon.pid}", "--as=unlimited:"], check=True)
    else:
        tap.note(f"{daemon.PROGRAM if hasattr(daemon, 'PROGRAM') else 'flowpind'} ended for want of memory: started again")
        daemon.kill()
        daemon.start(deadline=60)


def disk_full(world, _rng):
    """The state directory takes nothing more: a drain is refused with one sentence, and nothing else happens."""
    path = os.path.join(world.d.state_dir, "ballast")
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * 4096)
        except OSError:
            pass
    try:
        done = world.d.try_flowpin("drain", world.lab.nexthop("s1"), "web")
        tap.check(done.status != 0 and len(done.err.splitlines()) == 1, "disk full: a drain is refused with a sentence", done)
    finally:
        os.unlink(path)


# --- what others do to the kernel's state

def flush_ruleset(world, _rng):
    world.lab.run("gw", "nft flush ruleset")


def delete_rules(world, rng):
    ours = [r for r in world.lab.ip_json("gw", "rule show") if str(r.get("protocol")) == "157"]
    for r in rng.sample(ours, min(len(ours), 3)):
        world.lab.run("gw", f"ip rule del priority {r['priority']}", check=False)


def delete_routes(world, rng):
    tables = [b["id"] + 17000 for b in world.d.nexthops()]
    for table in rng.sample(tables, 1):
        world.lab.run("gw", f"ip route flush table {table}", check=False)
        world.said = str(table)


def flush_conntrack(world, _rng):
    world.lab.run("gw", "conntrack -F", check=False)


def overrun(world, rng):
    """More new flows at once than the event socket's small buffer takes."""
    flood(world.lab, world.scale(50_000, 5_000), port=9, source="12.12.99.0")
    world.said = f"{world.d.status()['events']['overruns']} overruns so far"
    pause(0, 0.5, rng)


def conntrack_full(world, _rng):
    """New connections find no entry meanwhile; those that have one keep it."""
    world.lab.sysctl("gw", **{"net.netfilter.nf_conntrack_udp_timeout": 2})
    room = int(world.lab.sysctl_get("gw", "net.netfilter.nf_conntrack_max"))
    flood(world.lab, room + 10_000, port=9, source="12.12.99.0")


def conntrack_emptier(world, _rng):
    tap.wait_until(lambda: int(world.lab.sysctl_get("gw", "net.netfilter.nf_conntrack_count")) < 50_000, 120, poll=0.5)
    world.lab.sysctl("gw", **{"net.netfilter.nf_conntrack_udp_timeout": 30})


# --- configuration and control

def reload_good(world, rng):
    extra = rng.choice(("", "service more { prefix = 9.9.9.0/24 }\n", "liveness { dead-after = 4 }\n"))
    world.d.reload(world.config(rng.choice(("5m", "6m", "10m"))) + extra, deadline=60)


def reload_bad(world, rng):
    bad = rng.choice(("service {", "limits { max-flows = -1 }\n", "service web { }\n", "\0", "numbers { mark-mask = 0x5 }\n"))
    before = len(world.d.log_lines("refused"))
    world.d.configure(world.config("5m") + bad)
    os.kill(world.d.pid, signal.SIGHUP)
    tap.check(tap.wait_until(lambda: len(world.d.log_lines("refused")) > before, 60), f"a bad file is refused ({bad!r})")
    world.d.configure(world.config("5m"))


def hanging_clients(world, rng):
    """They say half a sentence, read nothing, or say nothing; others are served all the same."""
    clients = [Client(world.d.socket) for _ in range(9)]
    for i, c in enumerate(clients):
        if i % 3 == 0:
            c.send(b'{"method":"io.flowpin.Stat')
        elif i % 3 == 1:
            c.send(b'{"method":"io.flowpin.Monitor","more":true,"parameters":{"flows":true}}\0')
    world.turn_over(rng)
    tap.check(world.d.try_flowpin("status").status == 0, "status is answered beside hanging clients")
    for c in clients:
        c.sock.close()


# --- the switch

def fault(op, low=200, high=2000):
    """The event is over when the fault is."""
    def apply(world, rng):
        ms = rng.randint(low, high)
        world.lab.sim.control(op, ms=ms)
        time.sleep(ms / 1000)
        world.said = f"{ms} ms"
    return apply


def mirrored_elsewhere(world):
    """Mirrored connections that are not where the switch's ECMP sends them: a switch that lost its table has nothing but that."""
    return world.elsewhere_by_ecmp()


EVENTS = (
    Event("the gateway's routes change", 6, route, all_routes, nobody),
    Event("the hash policy changes", 2, hash_policy, hash_policy_back, nobody),
    Event("the switch's routes change", 4, switch_route, switch_route_back, unpinned),
    Event("a link flaps", 3, flap, None, nobody),
    Event("a link is lost", 2, link_loss, link_back, on_victim),
    Event("neighbours are forgotten", 3, forget_neighbours, resolve, nobody),
    Event("kill -9 flowpind", 3, kill("d"), None, nobody),
    Event("kill -9 flowpin-mirror", 2, kill("mirror"), None, nobody),
    Event("kill -9 flowpin-eapi", 2, kill("eapi"), None, nobody),
    Event("a daemon is restarted", 2, restart, None, nobody),
    Event("the clock is another", 1, clock_step, None, nobody),
    Event("memory is short", 2, memory_limit, None, nobody),
    Event("the disk is full", 2, disk_full, None, nobody),
    Event("nft flush ruleset", 3, flush_ruleset, None, nobody),
    Event("rules are deleted", 3, delete_rules, None, nobody),
    Event("a table is flushed", 3, delete_routes, None, nobody),
    Event("conntrack -F", 2, flush_conntrack, None, nobody),
    Event("overrun", 2, overrun, None, nobody),
    Event("conntrack is full", 1, conntrack_full, conntrack_emptier, nobody),
    Event("reload", 3, reload_good, None, nobody),
    Event("reload of a bad file", 3, reload_bad, None, nobody),
    Event("clients hang", 3, hanging_clients, None, nobody),
    Event("the switch's API is away", 3, fault("down"), None, nobody),
    Event("its connections are cut", 3, lambda world, _rng: world.lab.sim.control("drop-connections"), None, nobody),
    Event("its agent restarts", 2, fault("agent-restart"), None, mirrored_elsewhere),
    Event("the switch reboots", 2, fault("reboot"), None, mirrored_elsewhere),
)
# Take longer than a short run has.
LONG = {"conntrack is full", "a link is lost"}


def sequence(seed, short):
    """Events without end, each with its own generator: the same for the same seed, however long anything takes."""
    choice = random.Random(f"soak {seed}")
    table = [e for e in EVENTS if not (short and e.name in LONG)]
    # Each once, in an order of the seed, before chance decides.
    first, n = choice.sample(table, len(table)), 0
    while True:
        event = first[n] if n < len(first) else choice.choices(table, [e.weight for e in table])[0]
        yield n, event, random.Random(f"soak {seed} {n}")
        n += 1
