# SPDX-License-Identifier: GPL-2.0-or-later
"""Who reads the events of the same ruleset: flowpind, one that discards them, and conntrackd. Rows 5, 6 and 7."""

import os
import signal
import subprocess

from common import CONFIG, Asker, Gateway, Listener, NotMeasured, cpu_ns, need, tap

# Events of the same kinds for all: one at the beginning of a flow and one at its end. Flows to port 81 are those to be ended.
EVENTS = """add table inet cut
add chain inet cut raw { type filter hook prerouting priority -250; }
add chain inet cut early { type filter hook prerouting priority -199; }
add rule inet cut early ct event set new,destroy
add rule inet cut early ct state new th dport 81 ct mark set ct mark or 0x1
"""
STATS = """General {
    HashSize 1048576
    HashLimit 4194304
    LogFile off
    Syslog off
    LockFile %(tmp)s/conntrackd.lock
    UNIX {
        Path %(tmp)s/conntrackd.ctl
    }
    NetlinkBufferSize 67108864
    NetlinkBufferSizeMaxGrowth 67108864
    EventIterationLimit 200
}
Stats { LogFile off }
"""


class Discarding:
    """recv(2) and nothing else."""

    def __init__(self, gateway, cpu):
        if gateway.daemon:
            gateway.daemon.kill()
        self.listener = Listener(gateway.lab, cpu=cpu)
        self.pid = self.listener.pid

    def overruns(self):
        return self.listener.seen()[1]

    def seen(self):
        return self.listener.seen()[0]


class Conntrackd:
    """Debian's conntrackd, which caches what it hears ("Stats" mode: no network)."""

    def __init__(self, gateway, cpu):
        lab = gateway.lab
        gateway.daemon.kill()
        self.path = os.path.join(lab.tmp, "conntrackd.conf")
        with open(self.path, "w", encoding="ascii") as f:
            f.write(STATS % {"tmp": lab.tmp})
        with lab.inside("gw"):
            self.process = subprocess.Popen(["conntrackd", "-C", self.path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL)
        lab.closers.append(self.end)
        self.pid, self.lab = self.process.pid, lab
        need(tap.wait_until(lambda: os.path.exists(f"{lab.tmp}/conntrackd.ctl") and self.process.poll() is None, 10), "conntrackd runs")
        os.sched_setaffinity(self.pid, {cpu})

    def end(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def overruns(self):
        text = self.lab.run("gw", "conntrackd", "-C", self.path, "-s", "runtime", check=False)
        for line in text.splitlines():
            words = line.split()
            if "overrun" in line.lower() and "event" in line.lower() and words and words[-1].isdigit():
                return int(words[-1])
        return 0


class Flowpind:
    """flowpind itself."""

    def __init__(self, gateway, cpu):
        self.daemon = gateway.daemon
        self.pid = self.daemon.pid
        self.asker = Asker(self.daemon.socket)
        os.sched_setaffinity(self.pid, {cpu})

    def overruns(self):
        return self.asker.call("Status")["events"]["overruns"]

    def seen(self):
        return self.asker.call("Status")["events"]["received"]


KINDS = {"flowpind": Flowpind, "discarding": Discarding, "conntrackd": Conntrackd}


def gateway_with(stack, kind, flows, cpu):
    """(gateway, reader): flowpin's ruleset is there in each; flowpind itself only where it is the reader."""
    gateway = stack.enter_context(Gateway(kind[0], 3))
    gateway.patient()
    gateway.flowpind(flows, config=CONFIG)
    gateway.lab.nft("gw", EVENTS)
    return gateway, KINDS[kind](gateway, cpu)


__all__ = ["gateway_with", "NotMeasured", "cpu_ns"]
