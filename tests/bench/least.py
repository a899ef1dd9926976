# SPDX-License-Identifier: GPL-2.0-or-later
"""The least that policy routing and nf_tables can do of flowpin's work, written by hand, for one nexthop and nobody who governs it.
Rows 2 to 4 measure it beside flowpin: what holds flows by marks and policy routing hardly costs less, whoever writes it.

Beside it, what nf_tables costs alone: no rule, but a look whether ECMP sends a flow where its mark says. What it would do with a flow
that goes elsewhere (send a copy there, drop this one) is left out, and it could not do it for a prefix that no route is left of."""

TABLE = """add table inet least
add chain inet least prerouting { type filter hook prerouting priority -151; }
add chain inet least forward { type filter hook forward priority -150; }
add rule inet least prerouting ip daddr != 1.1.1.1 return
add rule inet least forward ip daddr != 1.1.1.1 return
"""
MARK = """add rule inet least prerouting ct mark != 0 meta mark set ct mark
add rule inet least forward ct mark 0 ct mark set 0x01000000
"""
HOOK = """add table inet least
add chain inet least forward { type filter hook forward priority -150; }
add rule inet least forward ip daddr != 1.1.1.1 return
"""
COMPARED = """add set inet least pinned { typeof ct mark . rt ip nexthop; elements = { %s } }
add rule inet least forward ct mark . rt ip nexthop @pinned accept
add rule inet least forward ct mark 0 ct mark set 0x01000000
"""
PIN = """add map inet least pin { typeof ip saddr . ip daddr . meta l4proto . @th,0,32 : meta mark; size 2000000; flags dynamic,timeout; }
add rule inet least %s meta l4proto { tcp, udp } update @pin { ip saddr . ip daddr . meta l4proto . @th,0,32 timeout 1h : 0x01000000 }
"""
REFRESH = PIN.replace("add rule", "insert rule") % "forward"


def rule(gateway):
    """One ip rule. With any rule of its own the kernel also looks up where each forwarded packet came from, in all of them."""
    gateway.lab.ip("gw", "rule add fwmark 0x01000000/0xff000000 lookup 100 priority 10000",
                   f"route add 1.1.1.1/32 via {gateway.address(1)} table 100")


def hooks(gateway):
    """The same, and one comparison (is it for a service?) where a packet comes in and one where its nexthop is known."""
    rule(gateway)
    gateway.lab.nft("gw", TABLE)


def marks(gateway):
    """The same, and the ct mark: the first packet's nexthop is recorded, and later ones follow it."""
    hooks(gateway)
    gateway.lab.nft("gw", MARK)


def pins(gateway):
    """The same, and a pin that each later packet refreshes."""
    marks(gateway)
    gateway.lab.nft("gw", PIN % "prerouting")


def first_pins(gateway):
    """The same, and the pin made by the first packet alone."""
    marks(gateway)
    gateway.lab.nft("gw", PIN % "forward")


def hook(gateway):
    """One comparison in one hook, and no rule."""
    gateway.lab.nft("gw", HOOK)


def compared(gateway):
    """The same, and a look at the ct mark and the nexthop that ECMP chose. Every nexthop has the one mark, so that all flows are right."""
    hook(gateway)
    nexthops = ", ".join(f"0x01000000 . {gateway.address(n)}" for n in range(1, 1 + gateway.nexthops))
    gateway.lab.nft("gw", COMPARED % nexthops)


def compared_pins(gateway):
    """The same, and a pin that each packet of the flow refreshes from then on."""
    compared(gateway)
    gateway.lab.nft("gw", REFRESH)
