# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything that a test in tests/netns needs: `from flowlab import *`. See
tests/netns/README.md."""

# pylint: disable=unused-import,wrong-import-position
import sys

sys.dont_write_bytecode = True

from capture import ACK, FIN, RST, SYN, Capture
from daemon import BUILD, ROOT, WEB, Daemon, parse_json
from flood import flood
from icmp import ErrorWatch, send_too_big
from lab import VIP4, VIP6, Lab
from routing import Groups, Plain
from net import CommandFailed, in_namespace
from tap import SAN, WITHOUT, NoDaemon, case, check, equal, main, need, note, seconds, skip, wait_until
from topology import (INET4, INET6, add_server, add_to_segment, direct_return, segment, standard, uplinks)
from scenario import hold_through_changes
from traffic import Result, TcpPool, UdpPool
