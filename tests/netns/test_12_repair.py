#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 12: somebody flushes the ruleset, the rules or our routes. They come back within a second, it is counted and
logged, and no connection breaks.

While something is missing packets go where the route alone sends them. A server there that knows nothing of the
connection would reset it, and no daemon could be quick enough for that. So the servers are set up to drop what they do
not know, as behind a firewall: packets of the gap are sent again, and go where they belong, if everything came back in
the right order."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa

BOUND = 5  # five times "within a second"
NO_OWNER = ["--no-owner"]


def servers_keep_quiet(lab):
    for server in lab.servers:
        lab.nft(server, "add table inet quiet\nadd chain inet quiet out { type filter hook output priority 0; }\n"
                        "add rule inet quiet out tcp flags & rst == rst drop\n")


def rules(lab):
    return [lab.run("gw", f"ip -{v} rule show proto 157") for v in (4, 6)]


def routes(lab):
    return [sorted(lab.run("gw", f"ip -{v} route show table all proto 157").splitlines()) for v in (4, 6)]


def chains(lab):
    return lab.run("gw", "nft -s -t list table inet flowpin", check=False)


class Watch:
    """What stands, what was counted and logged, before somebody interferes."""

    LINE = "somebody else changed our"

    def __init__(self, lab, d):
        self.lab, self.d = lab, d
        self.stood = self.standing()
        self.repairs = d.status()["repairs"]
        self.lines = len(d.log_lines(self.LINE))

    def standing(self):
        return rules(self.lab), routes(self.lab), chains(self.lab)

    def judge(self, what, part, pool):
        """Everything is back; part: "ruleset", "policy" or None where nothing had to be done."""
        wait_until(lambda: self.standing() == self.stood, BOUND, f"{what}: all is as it was")
        if part:
            wait_until(lambda: self.d.status()["repairs"][part] > self.repairs[part], BOUND, f"{what}: counted")
            word = "nftables table" if part == "ruleset" else "rules or routes"
            wait_until(lambda: len(self.d.log_lines(f"{self.LINE} {word}")) > 0, BOUND, f"{what}: logged")
        else:
            equal(self.d.status()["repairs"], self.repairs, f"{what}: nothing to repair")
            equal(len(self.d.log_lines(self.LINE)), self.lines, f"{what}: nothing to log")
        check(pool.exchange(20).all_held, f"{what}: 200 held", pool.result)
        wait_until(self.d.verify_clean, BOUND, f"{what}: verify is clean", poll=0.2)


def flush_ruleset(lab):
    lab.run("gw", "nft flush ruleset")


def flush_rules(lab):
    """It takes main and default too: whoever did that puts them back."""
    for v in (4, 6):
        lab.ip("gw", f"-{v} rule flush") if False else lab.run("gw", f"ip -{v} rule flush")
        lab.run("gw", f"ip -{v} rule add pref 32766 lookup main")
        if v == 4:
            lab.run("gw", "ip -4 rule add pref 32767 lookup default")


def delete_rules(lab):
    for v in (4, 6):
        lab.run("gw", f"ip -{v} rule flush proto 157", check=False)


def delete_routes(lab):
    for v in (4, 6):
        lab.run("gw", f"ip -{v} route flush table all proto 157", check=False)


main()
