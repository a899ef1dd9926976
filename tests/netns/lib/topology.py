# SPDX-License-Identifier: GPL-2.0-or-later
"""The topologies of the tests. Each returns a Lab to be used with `with`.

standard       c - gw - s1, s2, s3 ...  each server on its own veth; gw's interface is called like it
segment        c - gw - br - s1, s2 ...  all servers on one interface of the gateway ("lan")
direct_return  like standard, but the servers answer the client through the bridge "ret":
               the gateway sees one direction only
uplinks        c, host - gw = r1, r2 - inet  two uplinks with masquerading; the "server" is inet;
               host is another host on the LAN

IPv4 and IPv6 everywhere. With router=True a router "r" stands between the client and the
gateway."""

from lab import VIP4, VIP6, Lab

INET4, INET6 = "203.0.113.1", "2001:db8:ffff::1"
_CLIENTS = 4  # source addresses


def _client_side(lab, router):
    """The client (with several addresses) and its way to the gateway, which exists already."""
    lab.ns("c")
    four = [f"10.9.0.{n}" for n in range(2, 2 + _CLIENTS)]
    six = [f"fd00:9::{n}" for n in range(2, 2 + _CLIENTS)]
    lab.sources = {4: four, 6: six}
    own = [f"{a}/24" for a in four] + [f"{a}/64" for a in six]
    if not router:
        lab.link("c", "gw", a_addrs=own, b_addrs=["10.9.0.1/24", "fd00:9::1/64"])
        lab.ip("gw", "route add 10.99.0.0/16 via 10.9.0.2", "route add fd00:99::/32 via fd00:9::2")
    else:
        lab.ns("r", forward=True)
        lab.link("c", "r", a_addrs=own, b_addrs=["10.9.0.1/24", "fd00:9::1/64"])
        lab.link("r", "gw", a_addrs=["10.7.0.1/24", "fd00:7::1/64"], b_addrs=["10.7.0.2/24", "fd00:7::2/64"])
        lab.ip("r", "route add default via 10.7.0.2", "route add ::/0 via fd00:7::2",
               "route add 10.99.0.0/16 via 10.9.0.2", "route add fd00:99::/32 via fd00:9::2")
        lab.ip("gw", "route add 10.9.0.0/24 via 10.7.0.1", "route add fd00:9::/64 via fd00:7::1",
               "route add 10.99.0.0/16 via 10.7.0.1", "route add fd00:99::/32 via fd00:7::1")
    first = "10.9.0.1", "fd00:9::1"
    lab.ip("c", f"route add default via {first[0]}", f"route add ::/0 via {first[1]}")


def _server(lab, name):
    lab.ns(name)
    lab.servers.append(name)
    lab.address(name, "lo", f"{VIP4}/32", f"{VIP6}/128")


def add_server(lab, name=None):
    """One more server on a veth of its own (its nexthop is in no route yet). Returns its name."""
    n = len(lab.servers) + 1
    name = name or f"s{n}"
    _server(lab, name)
    lab.link("gw", name, a_if=name, b_if="gw", a_addrs=[f"10.1.{n}.1/24", f"fd00:1:{n}::1/64", "fe80::1/64"],
             b_addrs=[f"10.1.{n}.2/24", f"fd00:1:{n}::2/64", "fe80::2/64"])
    lab.ip(name, f"route add default via 10.1.{n}.1", f"route add ::/0 via fd00:1:{n}::1")
    lab.nexthops[name, 4] = (f"10.1.{n}.2", name)
    lab.nexthops[name, 6] = (f"fd00:1:{n}::2", name)
    if "ret" in lab.namespaces:
        _return_path(lab, name, n)
    return name


def standard(servers=3, router=False, name=""):
    """c - gw - s1 .. sN. No route to the VIP yet: lab.route(["s1", "s2"])."""
    lab = Lab(name)
    try:
        lab.ns("gw", forward=True)
        _client_side(lab, router)
        for _ in range(servers):
            add_server(lab)
        return lab
    except BaseException:
        lab.close()
        raise


def segment(servers=3, router=False, name=""):
    """c - gw - br0 - s1 .. sN: several nexthops behind the gateway's interface "lan"."""
    lab = Lab(name)
    try:
        lab.ns("gw", forward=True)
        _client_side(lab, router)
        lab.ns("br")
        lab.ip("br", "link add br0 type bridge", "link set br0 up")
        lab.link("gw", "br", a_if="lan", b_if="gw", a_addrs=["10.1.0.1/24", "fd00:1::1/64", "fe80::1/64"])
        lab.ip("br", "link set gw master br0")
        for n in range(1, servers + 1):
            add_to_segment(lab, f"s{n}")
        return lab
    except BaseException:
        lab.close()
        raise


def add_to_segment(lab, name):
    """One more server on the segment."""
    n = len(lab.servers) + 1
    _server(lab, name)
    host = 10 + n
    lab.link(name, "br", a_if="gw", b_if=name,
             a_addrs=[f"10.1.0.{host}/24", f"fd00:1::{host}/64", f"fe80::{host}/64"])
    lab.ip("br", f"link set {name} master br0")
    lab.ip(name, "route add default via 10.1.0.1", "route add ::/0 via fd00:1::1")
    lab.nexthops[name, 4] = (f"10.1.0.{host}", "lan")
    lab.nexthops[name, 6] = (f"fd00:1::{host}", "lan")
    return name


def _return_path(lab, name, n):
    lab.link(name, "ret", a_if="ret", b_if=name, a_addrs=[f"10.8.0.{10 + n}/24", f"fd00:8::{10 + n}/64"])
    lab.ip("ret", f"link set {name} master br0")
    lab.ip(name, "route add 10.9.0.0/24 via 10.8.0.1", "route add fd00:9::/64 via fd00:8::1")


def direct_return(servers=3, router=False, name=""):
    """The servers' answers reach the client through "ret" and never pass the gateway."""
    lab = standard(0, router, name)
    try:
        lab.ns("ret")
        lab.ip("ret", "link add br0 type bridge", "link set br0 up")
        lab.link("c", "ret", a_addrs=["10.8.0.1/24", "fd00:8::1/64"])
        lab.ip("ret", "link set c master br0")
        for _ in range(servers):
            add_server(lab)
        return lab
    except BaseException:
        lab.close()
        raise


def uplinks(name=""):
    """c and host behind gw, whose default route goes over the uplinks u1 and u2 (routers r1, r2)
    to inet, masqueraded.
    A pool's target is INET4 or INET6 with servers=["inet"]; which uplink a flow takes is in
    flow.peer (10.11.* or 10.12.*). lab.nexthops has r1 and r2; lab.route({...}, prefix="default")
    makes the route."""
    lab = Lab(name)
    try:
        lab.ns("gw", forward=True)
        _client_side(lab, False)
        lab.ns("host")
        lab.link("host", "gw", a_addrs=["10.6.0.2/24", "fd00:6::2/64"], b_addrs=["10.6.0.1/24", "fd00:6::1/64"])
        lab.ip("host", "route add default via 10.6.0.1", "route add ::/0 via fd00:6::1")
        lab.ns("inet")
        lab.servers.append("inet")
        lab.address("inet", "lo", f"{INET4}/32", f"{INET6}/128")
        for n in (1, 2):
            router, near, far = lab.ns(f"r{n}", forward=True), f"10.1{n}.0", f"10.2{n}.0"
            near6, far6 = f"fd00:1{n}:", f"fd00:2{n}:"
            lab.link("gw", router, a_if=f"u{n}", b_if="gw", a_addrs=[f"{near}.1/24", f"{near6}:1/64"],
                     b_addrs=[f"{near}.2/24", f"{near6}:2/64"])
            lab.link(router, "inet", a_addrs=[f"{far}.1/24", f"{far6}:1/64"],
                     b_addrs=[f"{far}.2/24", f"{far6}:2/64"])
            lab.ip(router, f"route add default via {far}.2", f"route add ::/0 via {far6}:2")
            lab.ip("inet", f"route add {near}.0/24 via {far}.1", f"route add {near6}:/64 via {far6}:1")
            lab.nexthops[router, 4] = (f"{near}.2", f"u{n}")
            lab.nexthops[router, 6] = (f"{near6}:2", f"u{n}")
        lab.nft("gw", "add table inet nat\n"
                      "add chain inet nat post { type nat hook postrouting priority srcnat; }\n"
                      "add rule inet nat post oifname { u1, u2 } masquerade\n")
        return lab
    except BaseException:
        lab.close()
        raise
