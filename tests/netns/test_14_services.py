#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 14: two services with different ports, timeouts and nexthops that share a server; which service a flow belongs
to; services that claim the same."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

API4, API6, WIDE4, WIDE6 = "192.0.2.1", "2001:db8:2::1", "1.1.2.2", "2001:db8::2:2"
WEB_IDLE = 6
TWO = """service web {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    port         = {80, 8000-8010}
    idle-timeout = 6s
}
service api {
    prefix       = {192.0.2.1/32, 2001:db8:2::1/128}
    port         = 443
    idle-timeout = 2m
}
"""


def add_addresses(lab, *addresses):
    for server in lab.servers:
        for a in addresses:
            lab.address(server, "lo", a + ("/128" if ":" in a else "/32"))


def pins(lab, family):
    """{(destination, port): [seconds to live]} of the pin map. (What a listing calls the timeout stays that of the
    first packet; packets later on move what it calls `expires`.)"""
    found = {}
    pattern = r"(\S+) \. \S+ \. \d+ \. (\d+) timeout \S+ expires (?:(\d+)m)?(?:(\d+)s)?(?:\d+ms)? :"
    for m in re.finditer(pattern, lab.run("gw", f"nft -n list map inet flowpin pin{family}")):
        found.setdefault((m[1], int(m[2])), []).append(int(m[3] or 0) * 60 + int(m[4] or 0))
    return found


def check_timeouts(lab, family, wanted, n, text):
    """wanted: {(destination, port): seconds}; each has n pins that a packet has just refreshed."""
    found = pins(lab, family)
    check(all(len(found.get(key, ())) == n and all(t / 2 <= left <= t for left in found[key])
              for key, t in wanted.items()),
          text, lambda: {key: (len(times), min(times), max(times)) for key, times in found.items()})


def services_of(d, *words):
    return {f["service"] for f in d.flows(*words)}


@case("two services share a server that one of them withdraws, IPv4", 4, VIP4, API4)
@case("two services share a server that one of them withdraws, IPv6", 6, VIP6, API6)
def shared(family, web_address, api_address):
    bits = 32 if family == 4 else 128
    with standard(3) as lab:
        add_addresses(lab, API4, API6)
        web_route = {"family": family, "prefix": f"{web_address}/{bits}"}
        api_route = {"family": family, "prefix": f"{api_address}/{bits}"}
        lab.route(["s1", "s2"], **web_route)
        lab.route(["s2", "s3"], **api_route)
        d = Daemon(lab, TWO)
        web = TcpPool(lab, target=web_address)
        api = TcpPool(lab, target=api_address, port=443)
        need(web.result().all_held and set(web.by_server()) == {"s1", "s2"}, "200 connections to web", web.by_server)
        need(api.result().all_held and set(api.by_server()) == {"s2", "s3"}, "200 connections to api", api.by_server)
        s2 = lab.nexthop("s2", family)
        equal({b["nexthop"] for b in d.nexthops("web")}, {lab.nexthop(s, family) for s in ("s1", "s2")},
              "web has its nexthops")
        equal({b["nexthop"] for b in d.nexthops("api")}, {lab.nexthop(s, family) for s in ("s2", "s3")}, "api has its")
        check(d.binding(s2, "web")["id"] != d.binding(s2, "api")["id"], "s2 has an id in each")
        equal((services_of(d, "dport", 80), services_of(d, "dport", 443)), ({"web"}, {"api"}), "flows know their service")

        check(web.exchange().all_held and api.exchange().all_held, "all exchange something", web.result)
        check_timeouts(lab, family, {(web_address, 80): WEB_IDLE, (api_address, 443): 120}, 200,
                       "each pin has its service's timeout")
        web.start(0.5)
        api.start(0.5)

        lab.route(["s3"], **api_route)
        wait_until(lambda: d.binding(s2, "api")["state"] == "draining", 5, "s2 is draining in api")
        equal(d.binding(s2, "web")["state"], "active", "and active in web")
        check(web.exchange().all_held, "200 of web held", web.result)
        check(api.exchange().all_held, "200 of api held", api.result)
        equal(set(web.probe(50)), {"s1", "s2"}, "new ones of web use s2")
        equal(set(api.probe(50)), {"s3"}, "new ones of api do not")
        d.flowpin("release", s2, "api")
        web_s2, api_s2 = web.on("s2"), api.on("s2")
        api.exchange()  # those of s2 meet s3 now
        check(web.exchange().all_held, "s2 released from api: 200 of web held", web.result)
        check(web_s2 and len(web.on("s2")) == len(web_s2), "on s2 as before", web.by_server)
        check(api_s2 and not api.on("s2"), "and none of api is there any more", api.by_server)

        web.stop()
        api.stop()
        wait_until(lambda: (web_address, 80) not in pins(lab, family), 30, "pins of silent connections of web run out",
                   poll=0.2)
        check(len(pins(lab, family).get((api_address, 443), ())) > 0, "those of api stay", lambda: pins(lab, family))


@case("two services at one address: ports and timeouts differ")
def one_address():
    text = """service web {
        prefix = 1.1.1.1/32
        protocol = {tcp, udp}
        port = 80
        idle-timeout = 1m
    }
    service alt {
        prefix = 1.1.1.1/32
        port = 8000-8100
        idle-timeout = 150s
    }
    service one { # lies inside alt: narrower wins
        prefix = 1.1.1.1/32
        port = 8050
        idle-timeout = 400s
    }
    """
    with standard(3) as lab:
        lab.route(["s1", "s2", "s3"])
        d = Daemon(lab, text)
        wanted = {80: ("web", 60), 8000: ("alt", 150), 8100: ("alt", 150), 8050: ("one", 400), 8051: ("alt", 150)}
        pools = {port: TcpPool(lab, 40, port=port) for port in wanted}
        outside = TcpPool(lab, 40, port=8101)
        check(all(p.exchange().all_held for p in [*pools.values(), outside]), "240 connections open")
        for port, (name, _) in wanted.items():
            wait_until(lambda p=port: len(d.flows("dport", p)) == 40, 5, f"40 flows to port {port}")
            equal(services_of(d, "dport", port), {name}, f"port {port} belongs to {name}")
        for pool in pools.values():
            pool.exchange()
        check_timeouts(lab, 4, {(VIP4, port): t for port, (_, t) in wanted.items()}, 40, "each has its timeout")
        equal(d.flows("dport", 8101), [], "a port of neither is not pinned")
        lab.route(["s1", "s3"])
        for port, pool in pools.items():
            check(pool.exchange().all_held, f"port {port}: held through a withdrawal", pool.result)
        equal(len({b["id"] for b in d.nexthops()}), 9, "each service has its own binding of each server")


WIDE = """service wide {
    prefix       = {1.1.0.0/16, 2001:db8::/64}
    idle-timeout = 150s
}
"""
NARROW = """service narrow {
    prefix       = {1.1.1.1/32, 2001:db8::1/128}
    port         = 80
    idle-timeout = 1m
}
"""


@case("the most specific prefix wins, IPv4", 4, VIP4, WIDE4, "1.1.0.0/16", WIDE + NARROW)
@case("the most specific prefix wins, IPv4, other order", 4, VIP4, WIDE4, "1.1.0.0/16", NARROW + WIDE)
@case("the most specific prefix wins, IPv6", 6, VIP6, WIDE6, "2001:db8::/64", WIDE + NARROW)
def specific(family, inner, outer, prefix, text):
    with standard(3) as lab:
        add_addresses(lab, outer)
        lab.route(["s1", "s2"], family, prefix=prefix)
        lab.route(["s2", "s3"], family)
        d = Daemon(lab, text)
        narrow = TcpPool(lab, target=inner)
        wide = TcpPool(lab, target=outer)
        beside = TcpPool(lab, target=inner, port=81)
        need(all(p.result().all_held for p in (narrow, wide, beside)), "600 connections open")
        for what, pool, words, name, timeout in (
                ("the inner prefix", narrow, ("dst", inner, "dport", 80), "narrow", 60),
                ("the outer prefix", wide, ("dst", outer, "dport", 80), "wide", 150),
                ("another port of the inner prefix", beside, ("dst", inner, "dport", 81), "wide", 150)):
            wait_until(lambda w=words: len(d.flows(*w)) == 200, 5, f"200 flows to {what}")
            equal(services_of(d, *words), {name}, f"{what} belongs to {name}")
            pool.exchange()
            check_timeouts(lab, family, {(words[1], words[3]): timeout}, 200, f"{what}: the timeout of {name}")
        lab.route(["s3"], family)
        lab.route(["s1"], family, prefix=prefix)
        for what, pool in (("inner", narrow), ("outer", wide), ("beside", beside)):
            check(pool.exchange().all_held, f"{what}: 200 held through a withdrawal in both routes", pool.result)
        check(d.verify_clean(), "verify is clean")


OVERLAPS = (
    ("the same prefix and all ports", "service one { prefix = 1.1.1.1/32 }\nservice two { prefix = 1.1.1.1/32 }\n",
     "1.1.1.1/32, tcp, all ports"),
    ("ports that overlap in part",
     "service one {\nprefix = 1.1.1.1/32\nport = 80-90\n}\nservice two {\nprefix = 1.1.1.1/32\nport = 85-95\n}\n",
     "1.1.1.1/32, tcp, ports 85-90"),
    ("one common protocol", "service one {\nprefix = 2001:db8::1/128\nprotocol = {tcp, udp}\n}\n"
     "service two {\nprefix = 2001:db8::1/128\nprotocol = udp\n}\n", "2001:db8::1/128, udp, all ports"),
)
DISTINCT = (
    ("ports apart",
     "service one {\nprefix = 1.1.1.1/32\nport = 80\n}\nservice two {\nprefix = 1.1.1.1/32\nport = 81\n}\n"),
    ("protocols apart", "service one {\nprefix = 1.1.1.1/32\nprotocol = tcp\n}\n"
     "service two {\nprefix = 1.1.1.1/32\nprotocol = udp\n}\n"),
    ("a nested prefix", "service one { prefix = 1.1.1.0/24 }\nservice two { prefix = 1.1.1.1/32 }\n"),
    ("nested ports", "service one { prefix = 1.1.1.1/32 }\nservice two {\nprefix = 1.1.1.1/32\nport = 80\n}\n"),
)


@case("equal overlap is refused")
def refused():
    with standard(1) as lab:
        lab.route(["s1"])
        d = Daemon(lab, start=False)
        for what, text, sentence in OVERLAPS:
            d.configure(text)
            r = d.try_flowpin("check", d.config_path)
            check(r.status == 1 and all(w in r.err for w in ("'one'", "'two'", sentence)), f"{what}: flowpin check", r)
            d.start(wait=False)
            check(d.expect_exit() not in (0, None), f"{what}: flowpind does not start")
            check(d.log_lines(re.escape(sentence)), f"{what}: and says why", d.log)
            d.configure(WEB)
            d.start()
            check(d.reload(text), f"{what}: flowpind answers a reload")
            equal([s["name"] for s in d.status()["services"]], ["web"], f"{what}: which is refused")
            check(len(d.log_lines(re.escape(sentence))) >= 2, f"{what}: and says why", d.log)
            d.stop()
            os.truncate(d.log_path, 0)
        for what, text in DISTINCT:
            d.configure(text)
            r = d.try_flowpin("check", d.config_path)
            equal((r.status, r.err), (0, ""), f"{what}: is no overlap")


main()
