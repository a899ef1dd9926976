# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 1 of the list of what must hold, as a function of topology, routes and traffic."""

import time

import tap
from daemon import WEB, Daemon
from traffic import TcpPool


def _policy(lab, policy):
    settings = {}
    for v in ("ipv4", "ipv6"):
        settings[f"net.{v}.fib_multipath_hash_policy"] = policy
        if policy == 3:
            settings[f"net.{v}.fib_multipath_hash_fields"] = 0x37
    lab.sysctl(lab.gateway, **settings)


class _Walk:
    """One route through its changes, with connections open all the time."""

    def __init__(self, lab, routing, pool, keep):
        self.lab, self.routing, self.pool, self.keep = lab, routing, pool, keep
        self.named = set()
        self.daemon = None

    def route(self, *servers, **weights):
        chosen = weights or list(servers)
        self.named = set(chosen)
        self.routing.set(chosen)

    def known(self):
        named = {b["nexthop"] for b in self.daemon.nexthops() if b["named"]}
        return named == {self.routing.nexthop(server) for server in self.named}

    def judge(self, what):
        """After a change: all connections held, and new ones only where the route points."""
        result = self.pool.exchange()
        tap.check(result.all_held, f"{what}: {result.total} connections held", result)
        # Flows that begin on a new nexthop before flowpind has heard of its route are pinned by their next packet only.
        if not tap.WITHOUT:
            tap.wait_until(self.known, 5, f"{what}: flowpind knows the nexthops", poll=0.01)
        fresh = self.pool.open(50)
        counts = self.pool.by_server(fresh)
        tap.check(set(counts) <= self.named and sum(counts.values()) == len(fresh),
                  f"{what}: 50 new connections only on nexthops in the route",
                  lambda: f"{counts}, route: {sorted(self.named)}, {self.pool.result(fresh)}")
        # some stay, so that flows of every age go through the next changes
        self.pool.end(fresh[self.keep:])


def hold_through_changes(make_lab, make_routing, target, pool_class=TcpPool, config=WEB, n=200, keep=20):
    """Connections of a service whose route loses, gains and regains nexthops, changes its weights
    and its hash policy.
    make_lab() makes a lab with four servers, make_routing(lab) its way to give routes."""
    with make_lab() as lab:
        walk = _Walk(lab, make_routing(lab), None, keep)
        walk.route("s1", "s2", "s3")
        walk.daemon = Daemon(lab, config)
        walk.pool = pool = pool_class(lab, n, target=target)
        spread = pool.by_server()
        tap.need(set(spread) == {"s1", "s2", "s3"} and pool.result().all_held,
                 "connections open on all three nexthops", lambda: f"{spread} {pool.result()}")
        pool.start()
        for what, servers, weights in (
                ("s2 withdrawn", ("s1", "s3"), {}),
                ("s2 re-added", ("s1", "s2", "s3"), {}),
                ("s4 added", ("s1", "s2", "s3", "s4"), {}),
                ("weights changed", (), {"s1": 20, "s2": 1, "s3": 3, "s4": 1}),
                ("s1 and s3 withdrawn", ("s2", "s4"), {}),
                ("a single nexthop", ("s4",), {}),
                ("all back", ("s1", "s2", "s3", "s4"), {})):
            walk.route(*servers, **weights)
            walk.judge(what)
        for policy in (0, 3, 1):
            _policy(lab, policy)
            walk.judge(f"hash policy {policy}")
        time.sleep(0.3)  # three more rounds of the background traffic under the last state
        pool.stop()
        tap.check(pool.exchange().all_held, "all held at the end", pool.result)
