#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""flowpin-eapi between a fake flowpind and a simulated switch: what is wished gets there, and nothing else."""

import base64
import hashlib
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from eapi_world import *  # noqa
from eossim import certificate  # noqa: E402


@case("wishes become flows")
def wishes():
    with World() as w:
        w.start()
        theirs = w.theirs()
        w.pind.wish_all(flows4(30), A)
        w.pind.wish_all(flows4(20, 31000), B)
        w.pind.wish_all([tuple6(32000 + i) for i in range(10)], B6)
        w.converge("60 flows are programmed, IPv6 among them")
        flows = w.sim.flows()
        first = flows["fp-1-tcp-12_12_12_1-31000-1_1_1_1-80"]
        equal((first["priority"], first["idle"], first["nexthops"]), (100, 300, [B]), "with priority, timeout and nexthop")
        health = w.pind.health
        equal((health["reachable"], health["programmed"], health["foreign"]), (True, 60, 2), "health says so")
        equal({n["address"]: (n["alive"], n["named"]) for n in health["nexthops"]}, {a: (True, ["web"]) for a in (A, B, A6, B6)},
              "nexthops are told with the services that name them")
        for commands in w.writes()[:2]:
            begins = [i for i, c in enumerate(commands) if c.startswith("flow ")]
            for i, at in enumerate(begins):
                lines = commands[at + 1:begins[i + 1] if i + 1 < len(begins) else len(commands)]
                action = next(i for i, c in enumerate(lines) if c.startswith("action"))
                need(all(lines.index(c) < action for c in lines if c.startswith("match")), "matches are written before the action")
                need(commands[at - 1] == "no flow " + commands[at][5:], "and deleted before they are written anew")
                break
        w.pind.wish_all(flows4(5), B)
        wait_until(lambda: sum(o.get("nexthop") == B for o in w.pind.observed.values()) == 25, 5, "moved flows go to their new nexthop")
        before = len(w.writes())
        for t in flows4(30) + flows4(20, 31000):
            w.pind.unwish(t, "dead")
        wait_until(lambda: len(w.ours(False)) == 10, 5, "50 flows that ended are deleted")
        check(len(w.writes()) - before <= 2, "by one request or two", lambda: [len(c) for c in w.writes()[before:]])
        equal(w.theirs(), theirs, "other users' flows are as they were")


@case("a thousand flows and their nexthops cost few requests")
def cheap():
    with World("max-flows = 2000", {"request-ms": 5}) as w:
        w.start()
        w.know()
        tuples = [tuple4(20000 + i, f"12.12.12.{i % 200 + 1}") for i in range(1000)]
        for i in range(0, 1000, 100):
            q = w.pind.ask(tuples[i:i + 100])
            wait_until(lambda: len(w.pind.answers.get(q, {})) == 100, 10)
        answers = {k: a.get("nexthop") for q in w.pind.answers.values() for k, a in q.items()}
        truth = {key(t): w.sim.control("path", src=t["src"], dst=t["dst"], protocol="tcp", sport=t["sport"], dport=80)["nexthop"]
                 for t in tuples[::10]}
        equal(len({a for a in answers.values() if a}), 2, "both nexthops were chosen")
        equal({k: answers.get(k) for k in truth}, truth, "every answer is the nexthop that the ASIC takes")
        for t in tuples:
            w.pind.wish(t, answers[key(t)])
        w.converge("all of them are programmed", 60)
        # Readings go by time, not by flow.
        used = {j["request"] for j in w.sim.journal() if j["command"].startswith(("show load-balance ", "flow fp-", "show ip route 12."))}
        check(used and len(used) <= 200, f"at most 0.2 requests a flow ({len(used)} requests)")


@case("restarts, shutdowns and clock steps")
def restarts():
    with World("tcam-command = \"\"", {"counter-ms": 200}) as w:
        w.start()
        w.pind.wish_all(flows4(25), A)
        w.converge("25 flows")
        theirs = w.theirs()
        since = len(w.writes())
        w.sim.control("clock-step", ms=200000)
        time.sleep(1)
        w.sim.control("clock-step", ms=-300000)
        time.sleep(1)
        equal(len(w.writes()), since, "a clock step changes nothing")
        check("restarted" not in w.eapi.log(), "and is not taken for a restart")
        w.sim.control("agent-restart", ms=600)
        time.sleep(0.3)
        w.converge("the DirectFlow agent restarts", 20)
        w.sim.control("cli", user="somebody", cmds=["enable", "configure", "directflow", "shutdown"])
        w.converge("another administrator shuts DirectFlow down", 40)
        equal(w.theirs().keys(), theirs.keys(), "other users' flows are there")
        w.sim.control("cli", user="somebody", cmds=["enable", "configure", "no directflow"])
        w.converge("or removes it", 30)
        w.sim.control("reboot", ms=600)
        time.sleep(0.3)
        w.converge("the switch is restarted", 30)
        check("it was restarted" in w.eapi.log(), "which is seen by its boot time")
        w.sim.control("lock", holder="somebody")
        w.pind.wish_all(flows4(5, 31000), B)
        wait_until(lambda: "refuses 'configure'" in w.sentence(), 5, "a locked configuration is told")
        w.sim.control("unlock")
        w.converge("and waited for", 20)


@case("both sides die")
def deaths():
    with World("tcam-command = \"\"") as w:
        w.start()
        w.pind.wish_all(flows4(30), A)
        w.pind.wish_all([tuple6(33000 + i) for i in range(5)], B6)
        w.converge("35 flows")
        since = len(w.writes())
        w.pind.stop(forget=True)
        time.sleep(1)
        w.eapi.kill()
        w.eapi.start()
        time.sleep(1)
        w.pind.start()
        wait_until(lambda: len(w.pind.states("adopted")) == 35 and w.pind.full > 2, 10, "a new flowpind is told of 35 flows to adopt")
        equal({o["nexthop"] for o in w.pind.observed.values()}, {A, B6}, "with their nexthops")
        equal(len(w.writes()), since, "and nothing was written or deleted")
        w.pind.wish_all(flows4(30), A)
        wait_until(lambda: len(w.pind.states()) == 30, 10, "wished for, they are just programmed")
        equal(len(w.writes()), since, "still without a write")
        for k in list(w.pind.states("adopted")):
            w.pind.unwish({"protocol": k[0], "src": k[1], "sport": k[2], "dst": k[3], "dport": k[4]}, "teardown")
        wait_until(lambda: len(w.ours(False)) == 30, 10, "what flowpind wants gone goes")
        w.pind.stop()
        w.pind.start()
        wait_until(lambda: len(w.pind.states()) == 30, 10, "the same flowpind comes back: all is as it was")


@case("a full table")
def full():
    for shows, retries in (("status", "no"), ("waiting", "yes")):
        with World("", {"capacity": 50, "full-shows": shows, "full-retries": retries, "tcam": "yes", "nexthop-needs-arp": "no"}) as w:
            w.start()
            w.pind.wish_all(flows4(80), A)
            name = f"{shows}, retries {retries}"
            wait_until(lambda: len(w.ours()) == 48, 15)
            check(wait_until(lambda: len(w.pind.states("rejected")) == 32 and len(w.pind.states()) == 48, 15),
                  f"{name}: 48 are programmed, and 32 are told as rejected", w.detail())
            check(all("resource" in o.get("text", "") for o in w.pind.observed.values() if o["state"] == "rejected"), f"{name}: and why",
                  lambda: {o.get("text") for o in w.pind.observed.values()})
            before = len(w.writes())
            quiet_for(3, lambda: len(w.writes()))
            check(len(w.writes()) - before < 6, f"{name}: it is not tried again and again", lambda: len(w.writes()) - before)
            for t in flows4(20):
                w.pind.unwish(t)
            check(wait_until(lambda: len(w.ours()) >= 47 and len(w.pind.states("rejected")) <= 13, 30),
                  f"{name}: room is used when there is room", w.detail())
            w.sim.set(capacity=200)
            check(wait_until(w.settled, 60), f"{name}: and when the switch gets more", w.detail())


@case("logins and certificates")
def logins():
    with World(password="wrong") as w:
        w.start()
        check(wait_until(lambda: "refuses the login of user 'admin'" in w.sentence(), 5), "a wrong password is told", w.detail())
        before = w.sim.state()["requests"] if "requests" in w.sim.state() else None
        time.sleep(2)
        check(w.pind.health["requests"] <= 2, "and not tried again for a minute", w.pind.health)
        note(f"requests {before}")
    with World("auth = session", {"login": "yes"}) as w:
        w.start()
        w.pind.wish_all(flows4(10), A)
        w.converge("with a session cookie")
        w.sim.control("expire-sessions")
        w.pind.wish_all(flows4(10, 31000), A)
        w.converge("and when it expired")
    with World() as w:
        os.chmod(w.password, 0o644)
        w.start()
        wait_until(lambda: "can be read by others" in w.sentence(), 5, "a password that others can read is refused")
    with World(https=True, http=None) as w:
        text = w.text
        cert, _ = certificate(w.dir, "other", ["10.9.9.9"])
        https = f"https://{w.sim.https}/command-api"
        for option, wanted, what in ((f'ca-file = "{cert}"', "certificate is not accepted", "a certificate of nobody known"),
                                     ('tls-pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="', "not the one of tls-pin", "a wrong key"),
                                     (f'ca-file = "{w.sim.cert}"', None, "its own certificate as CA"),
                                     (f'tls-pin = "{pin_of(w.sim.cert)}"', None, "its key pinned")):
            w.eapi.configure(text.replace(w.sim.url, https).replace("allow-http = yes", option))
            w.pind.health = {}
            w.start()
            if wanted:
                check(wait_until(lambda: wanted in w.sentence(), 5), what + " is told", w.detail())
            else:
                check(wait_until(lambda: w.pind.health.get("reachable"), 5), what + " is accepted", w.detail())
            w.eapi.stop()
        w.eapi.configure(text.replace(w.sim.url, https.replace("127.0.0.1", "localhost")).replace(
            "allow-http = yes", f'ca-file = "{w.sim.cert}"'))
        w.pind.health = {}
        w.start()
        check(wait_until(lambda: "certificate is not accepted" in w.sentence(), 5), "a wrong host name is told", w.detail())


def pin_of(cert):
    key_ = subprocess.run(f"openssl x509 -in {cert} -pubkey -noout | openssl pkey -pubin -outform der", shell=True, check=True,
                          capture_output=True).stdout
    return "sha256//" + base64.b64encode(hashlib.sha256(key_).digest()).decode()


@case("which nexthop the switch chose")
def lookups():
    with World() as w:
        w.start()
        w.know()

        def ask(tuples, ages=None):
            q = w.pind.ask(tuples, ages)
            wait_until(lambda: len(w.pind.answers.get(q, {})) == len(tuples), 5)
            return [w.pind.answers.get(q, {}).get(key(t), {}) for t in tuples]

        def truth(t):
            return w.sim.control("path", src=t["src"], dst=t["dst"], protocol="tcp", sport=t["sport"], dport=80)["nexthop"]

        some = flows4(20) + [tuple6(30000 + i) for i in range(20)]
        equal([a.get("nexthop") for a in ask(some)], [truth(t) for t in some], "IPv4 and IPv6")
        w.route([A])
        w.know()
        since = len(w.sim.journal())
        equal({a.get("nexthop") for a in ask(flows4(10))}, {A}, "a single nexthop")
        check(not any("load-balance" in e["command"] for e in w.sim.journal()[since:]), "needs no question")
        answers = ask(flows4(2), [60000, 0])
        check("when the flow began" in answers[0].get("why", "") and answers[1].get("nexthop") == A,
              "a flow that is older than the route is uncertain", answers)
        w.route([A, B])
        answers = ask(flows4(3))
        check(all("why" in a and "nexthop" not in a for a in answers), "a route that changed since it was read last is uncertain", answers)
        w.know()
        w.sim.control("reply", command="show load-balance.*", count=1, model={"outputIntf": "Ethernet9"})
        check("Ethernet9" in ask(flows4(1))[0].get("why", ""), "an interface that no nexthop is behind is uncertain")
        w.sim.set(lb="platform")
        check(all("cannot tell" in a.get("why", "") for a in ask(flows4(40))), "a switch that cannot tell says so")
    for knobs in ({"lb-json": "no"}, {"lb-member": "yes"}, {"lb-needs": "configure"}):
        with World("", knobs) as w:
            for n, port in ((3, "Ethernet10"), (4, "Ethernet11")):
                w.sim.control("interface", name=port, link="connected", mode="bridged", vlan=10)
                w.sim.control("mac", mac=f"00:00:00:00:00:{n:02x}", vlan=10, interface=port)
            for address, mac in ((A, "03"), (B, "04")):
                w.sim.control("arp", address=address, mac=f"00:00:00:00:00:{mac}", interface="Vlan10")
            w.sim.control("route", prefix="1.1.1.1/32", vias=[{"interface": "Vlan10", "nexthop": n} for n in (A, B)])
            w.start()
            w.know()
            q = w.pind.ask(flows4(20))
            wait_until(lambda: len(w.pind.answers.get(q, {})) == 20, 5)
            answers = [w.pind.answers.get(q, {}).get(key(t), {}) for t in flows4(20)]
            wanted = [w.sim.control("path", src=t["src"], dst=t["dst"], protocol="tcp", sport=t["sport"], dport=80)["nexthop"]
                      for t in flows4(20)]
            if "lb-member" in knobs:
                equal([a.get("nexthop") for a in answers], wanted, "ports behind a VLAN lead to nexthops")
            else:
                check(all("several nexthops" in a.get("why", "") for a in answers), f"a VLAN with both is uncertain ({knobs})", answers[:2])


@case("a server dies")
def server():
    with World() as w:
        w.start()
        wait_until(lambda: w.pind.health.get("nexthops"), 5)

        def alive():
            return {n["address"]: n["alive"] for n in w.pind.health.get("nexthops", [])}

        wait_until(lambda: alive().get(A) and alive().get(B), 5, "both are alive")
        w.sim.control("interface", name="Ethernet42", link="notconnect")
        wait_until(lambda: alive() == {A: False, B: True, A6: False, B6: True}, 3, "a port that is down: dead")
        w.sim.control("interface", name="Ethernet42", link="connected")
        wait_until(lambda: alive().get(A), 3, "and alive again")
        w.sim.control("no-arp", address=B)
        wait_until(lambda: alive().get(B) is False, 3, "no neighbour entry: dead")
        w.pind.wish(tuple4(30000), A)
        w.route([B])
        wait_until(lambda: {n["address"]: n["named"] for n in w.pind.health["nexthops"]}.get(A) == [], 5,
                   "a nexthop that no route names any more, but a flow: still told, named by none")


@case("a nexthop that the switch does not know yet")
def unresolved():
    with World("", {"nexthop-needs-arp": "yes"}) as w:
        w.sim.control("no-arp", address=B)
        w.start()
        w.pind.wish_all(flows4(10), A)
        w.pind.wish_all(flows4(10, 31000), B)
        wait_until(lambda: len(w.pind.states()) == 10 and len(w.pind.states("pending")) == 10, 30, "its flows are told as pending, the others as programmed")
        w.writes()
        quiet_for(1, lambda: len(w.writes()))
        before = len(w.writes())
        w.sim.control("arp", address=B, mac="00:00:00:00:00:04", interface="Ethernet43")
        w.converge("it is resolved: they are programmed by themselves", 30)
        equal(len(w.writes()), before, "without another write")


# What the personalities draw together, one by one: a switch that has just this oddity.
ODDITIES = ({"extra-keys": "yes"}, {"numbers-as-strings": "yes"}, {"results-as-strings": "yes"}, {"config-messages": "yes"},
            {"serialize": "request", "read-ms": 20, "write-ms": 5}, {"program-rate": 200}, {"tie": "newest"}, {"lists-append": "yes"},
            {"edit": "exit-drop"}, {"agent-down": "error"}, {"boot-wobble-ms": 900}, {"nexthop-key": "none"}, {"nexthop-shape": "objects"},
            {"detail-json": "no"}, {"new-params": "no"}, {"starts-privileged": "yes"}, {"pending-in-flows": "yes"}, {"off-shows": "status"})


@case("oddities, one by one")
def oddities():
    for knobs in ODDITIES:
        with World("", knobs) as w:
            w.start()
            theirs = w.theirs()
            w.pind.wish_all(flows4(25), A)
            w.converge(f"{knobs}: 25 flows", 40)
            w.pind.wish_all(flows4(5), B)
            for t in flows4(5, 30010):
                w.pind.unwish(t)
            w.converge(f"{knobs}: five are moved, five end", 40)
            equal(w.theirs(), theirs, f"{knobs}: other users' flows are as they were")
            check("restarted" not in w.eapi.log(), f"{knobs}: nobody was restarted")


@case("what authorization refuses")
def unauthorized():
    with World("", {"deny": "^match source port 30003$"}) as w:
        w.start()
        w.pind.wish_all(flows4(20), A)
        wait_until(lambda: len(w.pind.states()) == 19 and len(w.pind.states("rejected")) == 1, 40, "one flow is refused, 19 are programmed")
        wait_until(lambda: len(w.ours(False)) == 19, 20, "and nothing of it is left behind")
        w.sim.set(deny="")
        w.pind.wish(flows4(4)[3], B)
        w.converge("allowed again, and wished for anew", 40)


@case("IPv6 flows cost more entries")
def costly():
    with World("ipv6-entries = 4", {"capacity": 60, "ipv6-entries": 4, "nexthop-needs-arp": "no"}) as w:
        w.start()
        w.pind.wish_all([tuple6(32000 + i) for i in range(30)], A6)
        wait_until(lambda: len(w.pind.states()) == 14 and len(w.pind.states("rejected")) == 16, 60, "58 entries are 14 flows, and 16 are rejected")
        equal(len(w.ours()), 14, "so the switch says")


@case("dry run")
def dry():
    with World("dry-run = yes") as w:
        w.start()
        w.pind.wish_all(flows4(3), A)
        wait_until(lambda: "dry run: action output nexthop" in w.eapi.log(), 5, "the commands are shown")
        equal((w.ours(False), len(w.writes())), (set(), 0), "and not sent")


@case("expiry by the switch")
def expiry():
    for mode in ("old", "new"):
        with World("", {"expiry": mode, "counter-ms": 200}) as w:
            w.start()
            for t in flows4(5):
                w.pind.wish(t, A, 2000)
            for t in flows4(5, 31000):
                w.pind.wish(t, A, 60000)
            w.converge(f"{mode}: ten flows")
            wait_until(lambda: len(w.pind.states()) == 5 and len(w.pind.states("absent")) == 5, 12, f"{mode}: five idle ones are absent")
            check(wait_until(lambda: len(w.ours(False)) == 5, 8), f"{mode}: their leftovers are purged", w.detail())
            before = len(w.writes())
            time.sleep(1.5)
            equal(len(w.writes()), before, f"{mode}: and they are not written again")
            w.pind.wish(flows4(1)[0], B, 60000)
            wait_until(lambda: len(w.pind.states()) == 6, 5, f"{mode}: unless they are wished for anew")


@case("expiry by the switch, of flows that were found there", False)
@case("expiry by the switch, of flows that were found expired", True)
def expiry_found(before):
    """The switch had counted their idle time before flowpin-eapi came, which does not know what has passed of it."""
    with World("", {"expiry": "old", "counter-ms": 200}) as w:
        w.start()
        for t in flows4(5):
            w.pind.wish(t, A, 20000)
        w.converge("five flows")
        written = time.monotonic()
        wait_until(lambda: time.monotonic() - written >= 12, 30)
        w.eapi.kill()
        if before:
            w.sim.wait(lambda s: [f["state"] for f in s["flows"] if f["idle"]] == ["expired"] * 5, 30)
        w.eapi.start()
        if not before:
            w.converge("they are taken over")
        count = w.sim.usage()["counters"]["programmed_total"]
        check(wait_until(lambda: w.sim.usage()["counters"]["programmed_total"] == count + 5, 14),
              "once they have expired they are put into hardware again", w.detail())
        w.converge("and all of them are as they should be")
        equal(w.pind.states("absent"), set(), "none of them is called ended")


main()
