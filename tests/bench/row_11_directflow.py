#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 11: flows placed in DirectFlow a second."""

import base64
import http.client
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from common import *  # noqa
from flood import flood
from switchlab import API, CLIENT_PORT, SERVICE, Beside, SwitchLab, section

ROW = {"row": 11, "what": "flows placed per second in DirectFlow", "size": 1000, "against": "a new connection and four requests a flow, one after another, on the same simulator",
       "bar": "at least 50 times at 20 ms a request"}
ONE_BY_ONE, PORTS = 40, 500
MORE = "max-flows = 4000"
LARGE = "  batch-flows = 100  batch-commands = 2000"


class Wire:
    """Requests and bytes as the switch's link carries them: the counters of its interface."""

    def __init__(self, lab):
        self.lab = lab

    def bytes(self):
        stats = self.lab.ip_json("sw", "-s link show dev gw")[0]["stats64"]
        return stats["rx"]["bytes"] + stats["tx"]["bytes"]


def request(lab, commands, form="json"):
    """One request of the old agent: a connection of its own."""
    with lab.inside("gw"):
        c = http.client.HTTPConnection(API, 80, timeout=20)
        c.connect()
    login = base64.b64encode(b"admin:secret").decode()
    body = {"jsonrpc": "2.0", "method": "runCmds", "id": "1", "params": {"version": 1, "format": form, "cmds": commands}}
    c.request("POST", "/command-api", json.dumps(body), {"Content-Type": "application/json", "Authorization": f"Basic {login}"})
    answer = json.loads(c.getresponse().read())
    c.close()
    if "error" in answer:
        raise NotMeasured(f"the simulator refused {commands[-1]}: {answer['error']}")
    return answer["result"]


def one_by_one(lab, flows):
    """For each flow, one after another: the route of its source, the port that the hash takes, the route of its destination, and
    the flow, each on a new connection."""
    for n in range(flows):
        src, sport = "12.12.12.4", 40000 + n
        request(lab, [f"show ip route {src}"])
        out = request(lab, ["enable", f"show load-balance destination ip ingress-interface {CLIENT_PORT} src-ipv4-address {src} "
                            f"dst-ipv4-address 1.1.1.1 ip-protocol 6 src-l4-port {sport} dst-l4-port 80"])[1]
        routes = request(lab, ["show ip route 1.1.1.1"])[0]["vrfs"]["default"]["routes"]
        vias = next(iter(routes.values()))["vias"]
        via = next((v["nexthopAddr"] for v in vias if v["interface"] == out["outputIntf"]), vias[0]["nexthopAddr"])
        request(lab, ["enable", "configure", "directflow", "no shutdown", f"flow old-{n}", "match ethertype ip",
                      f"match source ip {src}", "match destination ip 1.1.1.1", "match ip protocol tcp", f"match source port {sport}",
                      "match destination port 80", "no persistent", "timeout idle 300", f"action output nexthop {via}"])


def switch(ms):
    lab = SwitchLab(3, knobs={"request-ms": ms, "capacity": 8000, "program-ms": 1, "counter-ms": 3000})
    lab.resolve()
    lab.announce(["s1", "s2", "s3"])
    for server in lab.servers:
        lab.deaf(server)
    return lab


def took_until_last(lab, began):
    """Seconds from then until the switch took the last flow's action, by its journal."""
    return lab.commands("^action output")[-1]["at_ms"] / 1000 - began


def old_rates(ms):
    """(flows a second, requests a flow, bytes a flow)."""
    with switch(ms) as lab:
        wire, asked = Wire(lab), lab.counters()["requests"]
        before, began = wire.bytes(), time.monotonic()
        n = max(5, min(ONE_BY_ONE, int(8000 / (4 * ms + 8))))
        one_by_one(lab, n)
        took = took_until_last(lab, began)
        need(tap.wait_until(lambda: len(lab.sim.programmed()) >= n, 10), "it places its flows")
        return n / took, (lab.counters()["requests"] - asked) / n, (wire.bytes() - before) / n


def our_rates(ms, flows, more=""):
    """The same, from the first mirrored packet until the switch holds 95 of 100 of so many flows: one whose mirrored packet was lost, or
    whose path was uncertain, is placed by its next packet only, and here there is none."""
    with switch(ms) as lab:
        lab.mirror()
        config = SERVICE % "1h" + section(lab, poll="5s", idle="1h", more=MORE + more, mirror=f"max-flows = {flows * 2}  max-flows-per-source = {flows * 2}")
        beside, wanted = Beside(lab, config), flows * 95 // 100
        wire, asked = Wire(lab), lab.counters()["requests"]
        before, began = wire.bytes(), time.monotonic()
        flood(lab, flows, kind="syn", source="12.12.12.0", sport=(10000, 10000 + PORTS - 1))
        # Not by asking the simulator, which would be kept from its work.
        asker = Asker(beside.d.socket)
        tap.wait_until(lambda: asker.call("Switches")["switches"][0]["programmed"] >= wanted, 60, poll=0.1)
        took, used = took_until_last(lab, began), lab.sim.usage()["used"]
        if used < wanted:
            s = beside.switch()
            raise NotMeasured(f"{used} of {flows} flows are placed; {s['mirror']['learned']} learned, {s['uncertain']} uncertain")
        return used / took, (lab.counters()["requests"] - asked) / used, (wire.bytes() - before) / used


def run(size, result):
    seen = {}
    for ms in (5, 20, 100):
        old, ours = old_rates(ms), our_rates(ms, size)
        seen[ms] = ours
        result.line(f"{ms} ms a request, {size:,} flows", ours[0], old[0], "flows/s", bar=50 if ms == 20 else None, less=False)
        result.line(f"{ms} ms: requests a flow", ours[1], old[1], "requests")
        result.line(f"{ms} ms: bytes a flow, both ways, with the mirror", ours[2], old[2], "bytes")
        if ms == 20:
            large = our_rates(ms, size, LARGE)
            result.line(f"{ms} ms, 100 flows a request", large[0], old[0], "flows/s")
    small = our_rates(20, max(20, size // 10))
    result.grow("20 ms: ms a flow, ours", max(20, size // 10), size, 1000 / small[0], 1000 / seen[20][0])


main(ROW, run)
