#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two gateways as in flowpin-ha(7), and a switch beside them: only the active one speaks to it, the other one adopts what is there
when it takes over, and who comes back keeps quiet."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "eos-sim"))
from eossim import Sim  # noqa: E402
from flowlab import *  # noqa
from halab import BOTH, HaLab, page_files  # noqa: E402

API, N = "10.50.0.1", 200
FAST = {"counter-ms": 300, "program-ms": 20, "user": "flowpin"}


class SwitchHaLab(HaLab):
    """HaLab, and a switch sw on a network "mgmt" that both gateways reach it by. It has no data plane: its table is looked at."""

    def __init__(self):
        super().__init__()
        try:
            self._switch()
        except BaseException:
            self.close()
            raise

    def _switch(self):
        self._bridge("lanm")
        self.ns("sw")
        self._join("lanm", "sw", "mgmt", [f"{API}/24"])
        for n, gateway in enumerate(BOTH, 2):
            self._join("lanm", gateway, "mgmt", [f"10.50.0.{n}/24"])
        self.devices.append("mgmt")
        self.nft("sw", "add table inet count\nadd chain inet count in { type filter hook input priority 0; }\n" +
                 "".join(f"add counter inet count {g}\nadd rule inet count in ip saddr 10.50.0.{n} tcp dport 443 tcp flags syn / syn,ack counter name {g}\n"
                         for n, g in enumerate(BOTH, 2)))
        self.sim = Sim(netns=self.full("sw"), http=None, https=f"{API}:443", knobs=FAST, tmp=self.tmp)
        self.closers.append(self.sim.stop)
        self.sim.control("interface", name="Ethernet47", link="connected")
        self.sim.control("interface", name="Ethernet1", link="connected")
        self.sim.control("route", prefix="10.9.0.0/24", vias=[{"interface": "Ethernet47"}])
        for server in self.servers:
            mac = self.ip_json(server, "link show lan")[0]["address"]
            self.sim.control("arp", address=self.nexthops[server, 4][0], mac=mac, interface="Ethernet1")
        self._credentials()

    def _credentials(self):
        with open(os.path.join(self.tmp, "s7058.password"), "w", encoding="ascii") as f:
            f.write("secret\n")
        for g in self.gateways.values():
            g.unit("flowpin-eapi", Daemon.program("flowpin-eapi"), "--config", g.path(f"flowpin-{g.name}.conf"), "--socket",
                   g.path("daemon.sock"), CREDENTIALS_DIRECTORY=self.tmp)

    def config(self):
        """flowpin.conf of the page with its switch; only the file of the certificate is elsewhere."""
        files = page_files()
        switch = files["/etc/flowpin/flowpin.conf switch"]
        return files["/etc/flowpin/flowpin.conf"] + switch.replace("/etc/flowpin/ca.pem", self.sim.cert)

    def announce(self, servers, gateways=BOTH):
        super().announce(servers, gateways)
        self.sim.control("route", prefix="1.1.1.1/32",
                         vias=[{"interface": "Ethernet1", "nexthop": self.nexthops[s, 4][0]} for s in servers])

    def wrong(self, wanted):
        """What the switch's table has otherwise than wanted, {(source, source port): server}: what it has, and what it should."""
        servers = {self.nexthops[s, 4][0]: s for s in self.servers}
        have = {(f["src"], f["sport"]): servers.get(f["nexthops"][0]) for name, f in self.sim.programmed().items()
                if name.startswith("fp-1-")}
        return {k: (have.get(k), wanted.get(k)) for k in have.keys() | wanted.keys() if have.get(k) != wanted.get(k)}

    def connections(self, gateway):
        """How often it began a connection to the switch's API."""
        return int(re.search(r"packets (\d+)", self.run("sw", f"nft list counter inet count {gateway}")).group(1))

    def writes(self, since=0):
        return [j["command"] for j in self.sim.journal(since) if re.match("(no )?flow ", j["command"])]


def switch(g):
    return next(s for s in g.d.flowpin("switches")["switches"] if s["name"] == "s7058")


def main_case(lab, lose, back):
    lab.announce(["s1", "s2", "s3"])
    gw1, gw2 = lab.start(lab.config(), lab.config())
    wait_until(lambda: switch(gw1)["reachable"], 20, "gw1 reaches the switch", poll=0.2)
    pool = TcpPool(lab, N)
    need(pool.result().all_held and len(pool.by_server()) == 3, "200 connections", pool.result)
    pool.start(0.1)
    wanted = {(f.src, f.sport): f.server for f in pool.flows}
    wait_until(lambda: not lab.wrong(wanted), 30, "the switch has all of them, each on its own server", poll=0.2)
    wait_until(lambda: switch(gw1)["programmed"] == N, 20, "flowpin switches says so on gw1", poll=0.2)
    equal((lab.connections("gw2"), switch(gw2)["attached"]), (0, False), "gw2 has never connected to it")
    wait_until(lambda: len(gw2.d.flows()) == N, 15, "gw2 knows the flows", poll=0.2)
    written = lab.sim.journal()[-1]["serial"]
    getattr(lab, lose)("gw1")
    wait_until(gw2.active, 10, "gw1 is lost: gw2 takes over")
    check(pool.exchange(deadline=20).all_held, "none broke", pool.result)
    wait_until(lambda: switch(gw2)["programmed"] == N, 30, "gw2 finds all of them in the switch", poll=0.2)
    equal([c for c in lab.writes(written) if c.startswith("no ")], [], "and has deleted none")
    equal(lab.wrong(wanted), {}, "they are as they were")
    wait_until(lambda: "stop flowpin-eapi" in gw1.said(), 5, "gw1 has stopped flowpin-eapi")
    quiet = lab.connections("gw1")
    lab.announce(["s1", "s3"])
    fresh = pool.open(50)
    equal(set(pool.by_server(fresh)), {"s1", "s3"}, "s2 is withdrawn; 50 new connections")
    wanted.update({(f.src, f.sport): f.server for f in fresh})
    wait_until(lambda: not lab.wrong(wanted), 30, "gw2 places them as well", poll=0.2)
    getattr(lab, back)("gw1")
    wait_until(lambda: len(gw1.d.flows()) == N + 50, 20, "gw1 is back, and knows all flows", poll=0.2)
    check(pool.exchange(deadline=20).all_held, "none broke", pool.result)
    equal(lab.connections("gw1"), quiet, "since it is lost, gw1 has not connected to the switch")
    equal(switch(gw1)["attached"], False, "and nothing speaks for it")
    wait_until(gw2.d.verify_clean, 10, "verify is clean on gw2", poll=0.5)
    written = lab.sim.journal()[-1]["serial"]
    lab.link_down("gw2")
    wait_until(gw1.active, 10, "gw2 is lost: gw1 takes over")
    check(pool.exchange(deadline=20).all_held, "none broke", pool.result)
    wait_until(lambda: switch(gw1)["programmed"] == N + 50, 30, "gw1 finds all of them in the switch", poll=0.2)
    equal([c for c in lab.writes(written) if c.startswith("no ")], [], "and has deleted none")
    equal(lab.wrong(wanted), {}, "they are as they were")


@case("link", "link_down", "link_up")
@case("power", "power_off", "power_on")
def takeover(lose, back):
    with SwitchHaLab() as lab:
        main_case(lab, lose, back)


main()
