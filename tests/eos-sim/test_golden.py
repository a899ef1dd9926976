#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Replays the exchanges of golden/A1 to A14 against the simulator. Their JSON blocks are compared verbatim, after parsing."""

import contextlib
import json
import os
import re
import ssl
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from eossim import Sim  # pylint: disable=wrong-import-position

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
points = []


def golden(name):
    """The text of a golden file and its JSON blocks."""
    with open(os.path.join(GOLDEN, name), encoding="utf-8") as f:
        text = f.read()
    return text, [json.loads(b) for b in re.findall(r"```json\n(.*?)\n```", text, re.S)]


def check(good, text, detail=""):
    points.append(bool(good))
    print(f"{'ok' if good else 'not ok'} {len(points)} - {text}")
    if not good:
        print("# " + str(detail).replace("\n", "\n# "))


def same(seen, wanted, text):
    check(seen == wanted, text, f"seen   {json.dumps(seen)}\nwanted {json.dumps(wanted)}")


def body(cmds, request_id, form="json", **more):
    return {"jsonrpc": "2.0", "method": "runCmds", "id": request_id,
            "params": dict({"version": 1, "format": form, "cmds": cmds}, **more)}


def ask(sim, *args, **kwargs):
    status, _, text = sim.post(body(*args, **kwargs))
    return json.loads(text) if status == 200 else status


def flow(name, **more):
    """A flow's commands; at=k puts another command at that place (from 1, as errors count)."""
    lines = [f"flow {name}", "match ethertype ip", f"match source ip {more.get('src', '192.168.0.1')}", "match destination ip 1.1.1.1",
             "match ip protocol tcp", f"match source port {more.get('sport', 30002)}", "match destination port 80", "priority 100",
             "no persistent", f"timeout idle {more.get('idle', 300)}", f"action output nexthop {more.get('nexthop', '34.34.34.4')}"]
    return ["enable", "configure", "directflow", "no shutdown"] + lines + ["end"]


def a1():
    request, answer = golden("A1")[1]
    with Sim(knobs={"nexthop-needs-arp": "no"}) as sim:
        same(json.loads(sim.post(request)[2]), answer, "A1: a flow is inserted")
        sim.wait(lambda s: s["used"] == 1)
        f = sim.programmed()["df1-c0a80001-30002-01010101-80-6"]
        same([f[k] for k in ("src", "dst", "sport", "dport", "protocol", "nexthops", "idle", "priority", "persistent")],
             ["192.168.0.1", "1.1.1.1", 30002, 80, 6, ["34.34.34.4"], 300, 100, False], "A1: and is in hardware as it was told")


def a2():
    _, (answer,) = golden("A2")
    cmds = flow("df1-a")
    cmds[6] = "match source ip 192.168.0.999"
    with Sim() as sim:
        same(ask(sim, cmds, "2"), answer, "A2: command 7 of 16 fails")
        f = sim.flows()["df1-a"]
        same([f["state"], f["ethertype"], f.get("src")], ["incomplete", 2048, None], "A2: the flow is there, half built")
        same([l["command"] for l in sim.journal()], cmds[:7], "A2: nothing ran after it")


def a3():
    _, (answer,) = golden("A3")
    with Sim(knobs={"model": "vEOS"}) as sim:
        sim.control("reply", command="^show version$", text="Arista vEOS\n")
        same(ask(sim, ["show version", "show bogus command"], "3", "text"), answer, "A3: failure in text format")


def a4():
    _, (privilege, denied, unconverted, platform) = golden("A4")
    with Sim() as sim:
        same(ask(sim, ["configure", "directflow"], "4"), privilege, "A4: not privileged")
        sim.set(deny="^directflow$")
        same(ask(sim, ["enable", "configure", "directflow", "no shutdown", "end"], "5"), denied, "A4: not authorized")
        sim.set(deny="", starts_privileged="yes")
        same(ask(sim, ["show platform trident tcam"], "6"), unconverted, "A4: unconverted")
        sim.set(directflow="platform")
        same(ask(sim, ["enable", "configure", "directflow", "end"], "7"), platform, "A4: not on this platform")


def a5():
    _, (answer,) = golden("A5")
    with Sim(knobs={"new-params": "no"}) as sim:
        same(ask(sim, ["show version"], "8", timestamps=True), answer, "A5: an old EOS knows no timestamps")


def a6():
    text = golden("A6")[0]
    words = re.search(r"body `([^`]+)`", text).group(1)
    with Sim() as sim:
        status, headers, answer = sim.post(body(["show version"], "1"), auth=("admin", "wrong"))
        same([status, headers["Content-Type"], answer], [401, "text/plain", words], "A6: wrong password")
        status, headers, _ = sim.post({"username": "admin", "password": "secret"}, path="/login", auth=None)
        cookie = headers["Set-Cookie"]
        check(status == 200 and re.fullmatch(r"Session=\w+; Path=/; HttpOnly", cookie), "A6: login", cookie)
        with_cookie = {"auth": None, "headers": {"Cookie": cookie.split(";")[0]}}
        same(sim.post(body(["show version"], "1"), **with_cookie)[0], 200, "A6: the cookie is good")
        sim.control("expire-sessions")
        status, _, answer = sim.post(body(["show version"], "1"), **with_cookie)
        same([status, answer], [401, words], "A6: expired, it is refused the same way")
        c = sim.connection()
        c.request("HEAD", "/command-api", headers={"Authorization": "Basic YWRtaW46c2VjcmV0"})
        same(c.getresponse().status, 200, "HEAD says that the API is there")
        c.close()


def fails(what, fn, *kinds):
    try:
        seen = fn()
    except kinds as e:
        check(True, f"A7: {what}: {type(e).__name__}")
    else:
        check(False, f"A7: {what}", f"answered {seen}")


def a7():
    show = body(["enable", "show hostname"], "1")
    with Sim(https=True) as sim:
        post = sim.post
        sim.control("down", ms=60000)
        fails("connect refused", lambda: post(show), ConnectionRefusedError)
        sim.control("up")
        sim.control("fault", kind="tls")
        time.sleep(0.05)
        fails("TLS failure", lambda: post(show, secure=True), ssl.SSLError, ConnectionError)
        same(post(show, secure=True)[0], 200, "A7: and then TLS works")
        for applied, wanted in ((0, []), (-1, [(2048, "192.168.0.1")]), (6, [(2048, None)])):
            sim.control("cli", cmds=["configure", "directflow", "no flow df1-s"])
            sim.control("fault", kind="silence", applied=applied, delay_ms=400, on="write")
            fails(f"silence, applied {applied}", lambda: post(body(flow("df1-s"), "1"), timeout=0.2), TimeoutError)
            same(list(sim.flows()), [], "A7: nothing has happened yet")
            time.sleep(0.5)  # longer than the delay: what is not there now will not come
            same([(f["ethertype"], f.get("src")) for f in sim.flows().values()], wanted, "A7: and then so much of it")
            sim.control("clear-faults")
        sim.control("fault", kind="reset")
        fails("reset in mid-body", lambda: post(show), ConnectionResetError)
        for status in (502, 503, 504):
            sim.control("fault", kind="status", status=status)
            seen = post(show)
            same([seen[0], seen[1]["Content-Type"], seen[2][:6]], [status, "text/html", "<html>"], f"A7: {status}")
        sim.control("fault", kind="truncate")
        fails("truncated JSON", lambda: json.loads(post(show)[2]), ValueError)
        sim.control("fault", kind="short")
        same(len(json.loads(post(show)[2])["result"]), 1, "A7: a result too few")
        sim.control("fault", kind="drip", bytes=4, delay_ms=10)
        began = time.monotonic()
        check(len(json.loads(post(show)[2])["result"]) == 2 and time.monotonic() - began > 0.1, "A7: a slow drip")


def a8():
    _, (answer,) = golden("A8")
    with Sim(knobs={"nexthop-needs-arp": "no", "capacity": 2, "counter-ms": 20}) as sim:
        sim.rpc(*flow("df1-a"))
        sim.wait(lambda s: s["used"] == 1)
        sim.rpc(*flow("df1-b", src="192.168.0.2", idle=1))
        sim.wait(lambda s: s["used"] == 2)
        sim.control("count", flow="df1-a", packets=5, bytes=367)
        sim.rpc(*flow("df1-c", src="192.168.0.3"))
        sim.wait(lambda s: s["flows"][2]["state"] == "no-room")
        sim.wait(lambda s: s["flows"][1]["state"] == "expired")
        same(ask(sim, ["show directflow detail"], "9"), answer, "A8: a healthy poll, one expired, one rejected")


def a9():
    text = golden("A9")[0]
    rejected = "Flow rejected due to insufficient resources"
    assert rejected in text
    for shows, retries in (("status", "no"), ("waiting", "no"), ("status", "yes"), ("waiting", "yes")):
        with Sim(knobs={"nexthop-needs-arp": "no", "capacity": 1, "full-shows": shows, "full-retries": retries}) as sim:
            sim.rpc(*flow("df1-a"))
            sim.wait(lambda s: s["used"] == 1)
            same(sim.rpc(*flow("df1-b", sport=2))["result"], [{}] * 16, f"A9 {shows}: a full table answers like A1")
            sim.wait(lambda s: s["flows"][1]["state"] == "no-room")
            model = sim.rpc("show directflow detail")["result"][0]
            same([[f["name"] for f in model["flows"]], model["details"]["status"].get("df1-b")],
                 [["df1-a"], rejected if shows == "status" else None], f"A9 {shows}: as the model shows it")
            if shows == "waiting":
                out = sim.rpc("show directflow detail", form="text")["result"][0]["output"]
                check("Flow df1-b: (Waiting for a resource to be allocated)\n" in out, "A9 waiting: the text has it", out)
                check(out.endswith("Flows: 1 programmed, 1 rejected\n"), "A9 waiting: and counts it", out)
            sim.rpc("enable", "configure", "directflow", "no flow df1-a", "end")
            if retries == "yes":
                sim.wait(lambda s: s["flows"][0]["in_hardware"])
            time.sleep(0.1)
            same(list(sim.programmed()), ["df1-b"] if retries == "yes" else [], f"A9 {shows}: retries: {retries}")


def a10():
    for expiry in ("old", "new"):
        with Sim(knobs={"nexthop-needs-arp": "no", "counter-ms": 20, "expiry": expiry}) as sim:
            sim.rpc(*flow("df1-a", idle=1))
            sim.wait(lambda s: s["used"] == 1)
            sim.wait(lambda s: s["used"] == 0)
            model = sim.rpc("show directflow detail")["result"][0]
            config = sim.rpc("enable", "show running-config section directflow", form="text")["result"][1]["output"]
            same([model["flows"], model["details"]["status"]], [[], {"df1-a": "Flow not programmed"} if expiry == "old" else {}],
                 f"A10 {expiry}: after the idle timeout")
            same("flow df1-a" in config, expiry == "old", f"A10 {expiry}: in the configuration")
            sim.rpc("enable", "configure", "directflow", "no flow df1-a")
            same(sim.flows(), {}, f"A10 {expiry}: until it is deleted")


def a11():
    cmds = json.loads(re.search(r"`(\[.*?\])`", golden("A11")[0]).group(1))
    with Sim(knobs={"nexthop-needs-arp": "no"}) as sim:
        sim.rpc(*flow("df1-a"))
        sim.wait(lambda s: s["used"] == 1)
        same(sim.rpc(*cmds)["result"], [{}] * 6, "A11: deletion, of a name that is not there too")
        same(sim.flows(), {}, "A11: it is gone")


def a12():
    _, (answer,) = golden("A12")
    vias = [{"interface": "Ethernet42", "nexthop": "23.23.23.3"}, {"interface": "Ethernet43", "nexthop": "34.34.34.4"}]
    ask_path = "show load-balance destination ip ingress-interface Et47 src-ipv4-address 12.12.12.1 dst-ipv4-address 1.1.1.1 " \
        "ip-protocol 6 src-l4-port %d dst-l4-port 80"
    with Sim() as sim:
        sim.control("route", prefix="1.1.1.1/32", vias=vias)
        truth = {p: sim.control("path", src="12.12.12.1", dst="1.1.1.1", sport=p, dport=80) for p in range(30000, 30040)}
        port = next(p for p, t in truth.items() if t["interface"] == "Ethernet43")
        same(ask(sim, ["enable", ask_path % port, "show ip route 1.1.1.1"], "10"), answer, "A12: a lookup pair")
        same(sim.rpc("enable", ask_path % port, form="text")["result"][1], {"output": "Output Interface: Ethernet43\n"}, "A12: as text")
        seen = [r["outputIntf"] for r in sim.rpc("enable", *[ask_path % p for p in truth])["result"][1:]]
        same(seen, [t["interface"] for t in truth.values()], "A12: it says what the ASIC does")
        same(len(set(seen)), 2, "A12: which uses both")
        sim.control("no-route", prefix="1.1.1.1/32")
        out = sim.rpc("enable", ask_path % port, form="text")["result"][1]["output"]
        check("unable" in out.lower(), "A12: no route", out)


def a13():
    with Sim(knobs={"nexthop-needs-arp": "no"}) as sim:
        for name in "abcde":
            sim.rpc("enable", f"configure session {name}")
        error = sim.rpc("enable", "configure session S")["error"]
        check(error["code"] == 1000 and "Maximum number of pending sessions" in error["data"][-1]["errors"][0], "A13: too many", error)
        same(sim.rpc("enable", "configure session a", "abort")["result"], [{}] * 3, "A13: abort")
        cmds = ["enable", "configure session S"] + flow("df1-a")[2:-1]
        same(sim.rpc(*cmds)["result"], [{}] * len(cmds), "A13: a session")
        same(sim.flows(), {}, "A13: nothing happens before commit")
        same(sim.rpc("enable", "configure session S", "commit")["result"], [{}] * 3, "A13: commit")
        sim.wait(lambda s: s["used"] == 1)
        same(list(sim.programmed()), ["df1-a"], "A13: and then all of it")


def a14():
    with Sim(knobs={"nexthop-needs-arp": "no"}) as sim:
        sim.rpc(*flow("df1-a"))
        sim.wait(lambda s: s["used"] == 1)
        before = sim.rpc("show version")["result"][0]["bootupTimestamp"]
        sim.control("reboot", ms=300)
        fails("A14 reboot: connection refused", lambda: sim.rpc("show version"), ConnectionError)
        after = None
        end = time.monotonic() + 5
        while after is None and time.monotonic() < end:
            with contextlib.suppress(ConnectionError):
                after = sim.rpc("show version")["result"][0]["bootupTimestamp"]
        check(after and after > before + 1000, "A14: a new bootupTimestamp", (before, after))
        same(sim.flows(), {}, "A14: the non-persistent flows are gone")


if __name__ == "__main__":
    for case in (a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14):
        try:
            case()
        except Exception as e:  # pylint: disable=broad-exception-caught
            check(False, f"{case.__name__}: {type(e).__name__}: {e}")
    print(f"1..{len(points)}")
    sys.exit(0 if all(points) else 1)
