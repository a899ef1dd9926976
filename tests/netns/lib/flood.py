# SPDX-License-Identifier: GPL-2.0-or-later
"""Many flows at once, by build/tests/tools/flood (tests/tools/flood.c)."""

import os
import re

import net
import tap
from daemon import BUILD
from lab import VIP4


def flood(lab, flows, kind="udp", rate=0, target=VIP4, port=80, sport=(1024, 65535), source=None,
          client=None, repeat=1, timeout=300):
    """Sends one packet (`repeat` rounds of one packet) of each of so many flows from the client:
    kind "udp", "syn" or "ack".
    Source addresses are taken from source on (default 10.99.0.0 or fd00:99::, which the gateway
    routes to the client, but which the client does not have), each with all ports of sport. rate:
    packets a second, 0 as fast as it can. Returns how many packets were sent. Answers are the
    test's own business: see lab.deaf()."""
    program = os.path.join(BUILD, "tests", "tools", "flood")
    if not os.access(program, os.X_OK):
        raise FileNotFoundError(f"{program} is not built: run make tests")
    source = source or ("fd00:99::" if ":" in target else "10.99.0.0")
    with lab.inside(client or lab.client):
        out = net.run(program, "--kind", kind, "--flows", flows, "--rate", rate, "--to", target, "--dport", port,
                      "--from", source, "--sport", f"{sport[0]}-{sport[1]}", "--repeat", repeat,
                      timeout=tap.seconds(timeout))
    return int(re.search(r"sent (\d+)", out).group(1))
