#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# alone
"""The soak (tests/soak, `make soak`) for a minute: faults under load, in an order of chance that is the same each time. SOAK_SEED=n makes
another one."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "soak"), os.path.join(HERE, "lib")]
import tap
from soak import soak
from world import own_mounts

SECONDS, FLOWS = 60, 100
SEED = int(os.environ.get("SOAK_SEED") or 831)

if not tap.WITHOUT:
    own_mounts()
tap.case(f"seed {SEED}", SECONDS, SEED, FLOWS, True, os.environ.get("SOAK_ONLY") or "")(soak)
tap.main()
