#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Knobs, other administrators and personalities of the simulator: what the golden exchanges do not touch."""

import json
import sys
import threading
import time

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
from eossim import Sim
from test_golden import check, flow, points, same

PLAIN = {"nexthop-needs-arp": "no", "counter-ms": 20, "program-ms": 0}
FLOW6 = ["enable", "configure", "directflow", "no shutdown", "flow six", "match ethertype 34525", "match source ipv6 fd00::1",
         "match destination ipv6 2001:db8::1", "match ip protocol tcp", "match source port 1", "match destination port 80",
         "action output nexthop fe80::1", "end"]


def errors(answer):
    return (answer["error"]["code"], answer["error"]["data"][-1]["errors"][0]) if "error" in answer else answer["result"]


def text(sim, command):
    return sim.rpc("enable", command, form="text")["result"][1]["output"]


def personalities():
    with Sim(personality=7) as a, Sim(personality=7) as b, Sim(personality=8) as c:
        same(a.knobs, b.knobs, "the same seed is the same switch")
        check(sum(a.knobs[k] != c.knobs[k] for k in a.knobs) > 10, "another seed is another one")
    for seed in range(20):
        with Sim(personality=seed, knobs=dict(PLAIN, timeouts="yes")) as sim:
            answer = sim.rpc(*flow("df1-a"))
            sim.wait(lambda s: s["used"] == 1)
            json.dumps(sim.rpc("show directflow flows"))
            shown = sim.rpc("show directflow detail", form="text")["result"][0]["output"]
            check("result" in answer and "Flow df1-a: (Flow programmed)" in shown, f"seed {seed} takes a flow", (answer, shown))


def others():
    with Sim(knobs=PLAIN) as sim:
        sim.control("lock", holder="bob")
        code, why = errors(sim.rpc(*flow("df1-a")))
        check(code == 1000 and "bob" in why, "configure is locked by another", why)
        same(sim.control("cli", user="bob", cmds=["configure", "directflow", "no shutdown", "flow bob-1", "match destination ip 1.1.1.1",
                                                  "action drop"])["output"], [""] * 6, "who may go on")
        sim.control("unlock")
        sim.rpc(*flow("df1-a"))
        sim.wait(lambda s: s["used"] == 2)
        sim.control("cli", cmds=["configure", "directflow", "shutdown"])
        same(sim.usage()["used"], 0, "shutdown empties the hardware")
        same(sim.rpc("show directflow flows")["result"], [{"flows": []}], "and nothing is shown")
        sim.control("cli", cmds=["configure", "directflow", "no shutdown"])
        sim.wait(lambda s: s["used"] == 2)
        sim.control("agent-restart", ms=200)
        same(sim.usage()["used"], 0, "the agent restarts")
        sim.wait(lambda s: s["used"] == 2)
        sim.control("cli", cmds=["configure", "no directflow"])
        same(sim.flows(), {}, "no directflow")
        sim.set(deny="^enable$")
        answer = sim.rpc({"cmd": "enable", "input": "topsecret"})
        check("topsecret" in answer["error"]["message"] and answer["error"]["code"] == 1005, "1005 repeats the input", answer)


def capacity():
    with Sim(knobs=dict(PLAIN, capacity=5, **{"full-retries": "yes"})) as sim:
        sim.rpc(*FLOW6)
        sim.wait(lambda s: s["used"] == 2)
        for i in range(4):
            sim.rpc(*flow(f"df1-{i}", sport=i))
        sim.wait(lambda s: [f["state"] for f in s["flows"]] == ["programmed"] * 4 + ["no-room"])
        same(sim.usage()["used"], 5, "an IPv6 flow takes two entries")
        same(text(sim, "show platform trident tcam").splitlines()[1:],
             ["TCAM group 14 uses 5 entries and can use up to 0 more.", "  DirectFlow uses 5 entries."], "the TCAM says so")
        sim.control("foreign", entries=2)
        sim.wait(lambda s: s["used"] == 3)
        check(sim.programmed().keys() >= {"df1-0", "df1-1"}, "a smaller table keeps what matters more", sim.programmed().keys())
        sim.control("foreign", entries=0)
        sim.wait(lambda s: s["used"] == 5)
        check(True, "and room is used again")


def nexthops():
    with Sim(knobs=dict(PLAIN, **{"nexthop-needs-arp": "yes"})) as sim:
        sim.rpc(*flow("df1-a"))
        time.sleep(0.1)
        same(sim.flows()["df1-a"]["state"], "pending", "an unresolved nexthop waits")
        sim.control("arp", address="34.34.34.4", interface="Vlan10", mac="00:00:00:00:00:99")
        sim.wait(lambda s: s["used"] == 1)
        check(True, "and is programmed by itself")
        for name, extra in (("Ethernet1", {}), ("Ethernet3", {"lag": "Port-Channel7"}), ("Port-Channel7", {}), ("Vlan10", {})):
            sim.control("interface", name=name, **extra)
        sim.control("mac", mac="00:00:00:00:00:99", vlan=10, interface="Port-Channel7")
        sim.control("route", prefix="1.1.1.0/24", vias=[{"interface": "Vlan10", "nexthop": "34.34.34.4"}])
        ask = "show load-balance destination ip ingress-interface Et1 src-ipv4-address 9.9.9.9 dst-ipv4-address 1.1.1.1 ip-protocol 6 " \
            "src-l4-port 1 dst-l4-port 80"
        same(sim.rpc("enable", ask)["result"][1], {"outputIntf": "Vlan10"}, "a path through an SVI")
        sim.set(lb_member="yes", arp_interface="with-port")
        same(sim.rpc("enable", ask)["result"][1], {"outputIntf": "Ethernet3"}, "or the port behind")
        arp = sim.rpc("show ip arp")["result"][0]["vrfs"]["default"]["ipV4Neighbors"][0]["interface"]
        same(arp, "Vlan10, Ethernet3", "as ARP says")
        for value, code in (("platform", 1002), ("parser", 1002)):
            sim.set(nexthop6=value)
            same(errors(sim.rpc(*FLOW6))[0], code, f"IPv6 nexthop refused: {value}")
        sim.set(nexthop6="reject", nexthop_needs_arp="no")
        sim.rpc(*FLOW6)
        sim.wait(lambda s: any(f["state"] == "refused" for f in s["flows"]))
        check("rejected" in sim.rpc("show directflow detail")["result"][0]["details"]["status"]["six"], "or by the hardware")


def models():
    noisy = {"extra-keys": "yes", "numbers-as-strings": "yes", "results-as-strings": "yes", "nexthop-key": "nexthops",
             "nexthop-shape": "objects", "config-messages": "yes"}
    with Sim(knobs=dict(PLAIN, **noisy)) as sim:
        answer = sim.rpc(*flow("df1-a"))
        same(answer["result"][1], '{"messages":[]}', "messages, as strings")
        sim.wait(lambda s: s["used"] == 1)
        model = json.loads(sim.rpc("show directflow detail")["result"][0])
        same([model["flows"][0]["priority"], model["flows"][0]["action"]["nexthops"][0]["ip"], model["details"]["status"]],
             ["100", "34.34.34.4", {"df1-a": "Flow programmed"}], "numbers and results as strings, other keys")
        check("sinceTomorrow" in model and "sinceTomorrow" in model["flows"][0], "keys that nobody knows")


def editing():
    for edit, there in (("line", True), ("exit", True), ("exit-drop", False)):
        with Sim(knobs=dict(PLAIN, edit=edit)) as sim:
            cmds = flow("df1-a")
            cmds[9] = "match source port x"
            sim.rpc(*cmds)
            same("df1-a" in sim.flows(), there, f"edit {edit}: what a failed batch leaves")
            sim.rpc(*flow("df1-b"), {"cmd": "comment", "input": "outside\nEOF"})
            sim.rpc("enable", "configure", "directflow", "flow df1-b", {"cmd": "comment", "input": "ours\nEOF"})
            check("      !! ours\n" in text(sim, "show running-config section directflow"), f"edit {edit}: a comment stays")


def waiting():
    with Sim(knobs=dict(PLAIN, serialize="request", **{"write-ms": 20})) as sim:
        began = time.monotonic()
        writer = threading.Thread(target=sim.rpc, args=flow("df1-a"))
        writer.start()
        time.sleep(0.05)
        sim.rpc("show version")
        check(time.monotonic() - began > 0.2, "a read queues behind a write")
        writer.join()
        sim.set(serialize="none", write_ms=0, boot_wobble_ms=300)
        seen = {sim.rpc("show version")["result"][0]["bootupTimestamp"] for _ in range(10)}
        check(len(seen) > 3 and max(seen) - min(seen) <= 0.6, "bootupTimestamp wobbles", seen)
        sim.control("clock-step", ms=5000)
        check(sim.rpc("show version")["result"][0]["bootupTimestamp"] - max(seen) > 4, "and steps")


def route_lists():
    via = [{"interface": "Ethernet42", "nexthop": "23.23.23.3"}]
    longer, whole = "show ip route 10.0.0.0/9 longer-prefixes", "show ip route"

    def shown(command):
        answer = sim.rpc(command)
        return sorted(answer["result"][0]["vrfs"]["default"]["routes"]) if "result" in answer else errors(answer)[0]

    with Sim(knobs=PLAIN) as sim:
        for prefix in ("10.0.0.0/8", "10.0.0.0/9", "10.1.0.0/16", "10.128.0.1/32"):
            sim.control("route", prefix=prefix, vias=via)
        same([shown(longer), shown(whole)], [1002, 1002], "without the knob neither is known")
        sim.set(route_lists="longer")
        same([shown(longer), shown(whole)], [["10.0.0.0/9", "10.1.0.0/16"], 1002], "longer-prefixes: the routes inside")
        sim.set(route_lists="all")
        same(shown(whole), ["10.0.0.0/8", "10.0.0.0/9", "10.1.0.0/16", "10.128.0.1/32"], "the whole table")
        sim.control("reply", command="^show version", skip=1, do={"op": "no-route", "prefix": "10.1.0.0/16"})
        sim.rpc("show version")
        same(shown(longer), ["10.0.0.0/9", "10.1.0.0/16"], "something that happens with a command: not with the first one")
        same("version" in sim.rpc("show version")["result"][0], True, "the second is answered")
        same(shown(longer), ["10.0.0.0/9"], "and the route is gone")


def refusals():
    with Sim(knobs=dict(PLAIN, **{"auto-complete": "yes", "name-max": 10})) as sim:
        same(sim.rpc("sh ver", "sh direct fl")["result"][1], {"flows": []}, "short words, where they are allowed")
        for cmds, why in ((["enable", "configure", "flow a"], "Invalid input (at token 0: 'flow')"),
                          (["show ip route 1.2.3"], "Invalid input (at token 3: '1.2.3')"),
                          (["enable", "configure", "directflow", "flow a.b"], "Invalid input (at token 1: 'a.b')"),
                          (["enable", "configure", "directflow", "flow " + "a" * 11], "Invalid input (at token 1: '" + "a" * 11 + "')"),
                          (["enable", "configure", "directflow", "flow a", "priority 70000"], "Invalid input (at token 1: '70000')"),
                          (["enable", "configure", "directflow", "flow a", "match source"], "Incomplete command (at token 1: 'source')")):
            same(errors(sim.rpc(*cmds)), (1002, why), " / ".join(cmds[-1:]))
        same(errors(sim.rpc("enable", "reload"))[0], 1004, "reload is interactive")
        same(json.loads(sim.post({"jsonrpc": "2.0", "method": "x", "id": 5})[2])["error"]["code"], -32601, "an unknown method")
        same(json.loads(sim.post("[]")[2])["error"]["code"], -32600, "no request")
        same(json.loads(sim.post("{")[2])["error"]["code"], -32700, "no JSON")


if __name__ == "__main__":
    for case in (personalities, others, capacity, nexthops, models, editing, waiting, route_lists, refusals):
        try:
            case()
        except Exception as e:  # pylint: disable=broad-exception-caught
            check(False, f"{case.__name__}: {type(e).__name__}: {e}")
    print(f"1..{len(points)}")
    sys.exit(0 if all(points) else 1)
