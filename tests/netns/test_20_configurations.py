#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Row 20, broken configurations: a table with the sentence that each must give, by every way in."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from flowlab import *  # noqa


def web(lines, before="", after=""):
    return f"{before}service web {{\n    prefix = 1.1.1.1/32\n{lines}}}\n{after}"


CONFIGS = (
    # what, text, line, sentence
    ("empty", "", None, "there is no service: at least one is needed"),
    ("only comments", "# nothing\n", None, "there is no service: at least one is needed"),
    ("a service without prefix", "service web {\n    port = 80\n}\n", 3, "service 'web' has no prefix"),
    ("no prefix at all", "service web {\n    prefix = 1.1.1.300\n}\n", 2,
     "prefix: '1.1.1.300' is not a prefix (ADDRESS or ADDRESS/LENGTH)"),
    ("a prefix with host bits", "service web {\n    prefix = 1.1.1.1/24\n}\n", 2,
     "prefix: '1.1.1.1/24' has bits set behind its length"),
    ("a prefix twice", web("    prefix = {1.1.1.1}\n"), 3, "'prefix' is given twice"),
    ("a prefix twice in a list", "service web {\n    prefix = {1.1.1.1, 1.1.1.1/32}\n}\n", 2,
     "prefix: '1.1.1.1/32' is there twice"),
    ("a protocol", web("    protocol = icmp\n"), 3, "protocol: 'icmp' is not one of tcp, udp and sctp"),
    ("port 0", web("    port = 0\n"), 3, "port: '0' is not a port or a range of ports (1 to 65535)"),
    ("a port too large", web("    port = {80, 65536}\n"), 3,
     "port: '65536' is not a port or a range of ports (1 to 65535)"),
    ("a range backwards", web("    port = 90-80\n"), 3, "port: '90-80' ends before it begins"),
    ("ranges that overlap", web("    port = {80-90, 85}\n"), 3, "port: '85' overlaps another of service 'web'"),
    ("an empty list", web("    port = {}\n"), 4, "port: the list is empty"),
    ("a duration of an unknown unit", web("    idle-timeout = 5y\n"), 3,
     "idle-timeout: '5y' is not a duration (a number with ms, s, m, h or d)"),
    ("a duration too long", web("    idle-timeout = 30d\n"), 3, "idle-timeout: '30d' is out of range (1s to 7d)"),
    ("a duration in parts of a second", web("    idle-timeout = 1500ms\n"), 3,
     "idle-timeout: '1500ms' is not a whole number of seconds"),
    ("on-withdraw", web("    on-withdraw = keep\n"), 3, "on-withdraw: 'keep' is neither hold nor release"),
    ("a nexthop", web("    nexthop server1 { id = 1 }\n"), 3,
     "'server1' is not a nexthop (ADDRESS, ADDRESS%INTERFACE or %INTERFACE)"),
    ("a nexthop without id", web("    nexthop 10.1.1.2 {\n    }\n"), 4, "nexthop '10.1.1.2' needs an id"),
    ("an id twice", web("    nexthop 10.1.1.2 { id = 1 }\n    nexthop 10.1.2.2 { id = 1 }\n"), 4,
     "id: 1 is given in line 3 already"),
    ("an id too large", web("    nexthop 10.1.1.2 { id = 256 }\n"), 3, "id: '256' is not a number from 1 to 255"),
    ("an id too large for the mask", web("    nexthop 10.1.1.2 { id = 16 }\n", "numbers { mark-mask = 0xf }\n"), 4,
     "id: 16 is above 15, the highest that mark-mask 0x0000000f can hold"),
    ("two services of one name", web("") + web(""), 4, "'web' is there twice"),
    ("two services that overlap equally", web("    port = 80\n") + "service other {\n    prefix = 1.1.1.1\n    port = 80\n}\n",
     8, "services 'web' and 'other' both claim 1.1.1.1/32, tcp, port 80, and neither is more specific"),
    ("a name", "service Web {\n    prefix = 1.1.1.1\n}\n", 2, "'Web' is no name for a service"),
    ("a service without name", "service {\n    prefix = 1.1.1.1\n}\n", 1, "'service' must be followed by its name"),
    ("an unknown setting", web("    timeout = 5m\n"), 3, "'timeout' is not known in section 'service'"),
    ("an unknown section", web("", "listen {\n}\n"), 1, "'listen' is not known here"),
    ("a section twice", web("", "limits { max-flows = 1k }\nlimits { max-pins = 1k }\n"), 2, "section 'limits' is there twice"),
    ("a size", web("", "limits { max-flows = lots }\n"), 1, "max-flows: 'lots' is not a size (a number, or one with k or M)"),
    ("a size too large", web("", "limits { max-pins = 200M }\n"), 1, "max-pins: '200M' is out of range"),
    ("a mask with holes", web("", "numbers { mark-mask = 0xf0f }\n"), 1,
     "mark-mask: '0xf0f' is not a mask of 4 to 8 bits in a row"),
    ("a mask of three bits", web("", "numbers { mark-mask = 0x7 }\n"), 1,
     "mark-mask: '0x7' is not a mask of 4 to 8 bits in a row"),
    ("the kernel's tables", web("", "numbers { table-base = 200 }\n"), 1, "table-base: '200' is out of range"),
    ("a number", web("", "numbers { rule-priority = first }\n"), 1, "rule-priority: 'first' is not a number"),
    ("a relative path", web("", "state-dir = lib/flowpin\n"), 1, "state-dir: 'lib/flowpin' is not an absolute path"),
    ("a path upwards", web("", 'state-dir = "/var/lib/../x"\n'), 1, "state-dir: '/var/lib/../x' must not contain '..'"),
    ("an equal sign missing", web("    port 80\n"), 3, "'port' must be followed by '=' and a value"),
    ("an end missing", "service web {\n    prefix = 1.1.1.1\n", 1, "'service web' begins here and is not closed: '}' is missing"),
    ("a quote that does not end", web("    port = \"80\n"), 3, "the quote that begins in this line is not closed in it"),
    ("a value missing", web("    port =\n"), 4, "'}' is not expected here"),
    ("a NUL byte", web("    port = 80\0\n"), 3, "byte 0x00 is not allowed outside comments"),
    ("bytes that are no text", web("    port = \udcff\udcfe\n"), 3, "byte 0xff is not allowed outside comments"),
    ("a file too large", web("") + "#" * (1 << 21), None, "larger than"),
)


def refusals(lab, what, path, where, sentence):
    """Every way in says the same: the sentence with file and line, one line, and the right exit status."""
    gw, commands_ = "gw", (((Daemon.program("flowpind"), "--config", path, "--check"), 1),
                           ((Daemon.program("flowpin"), "check", path), 1),
                           ((Daemon.program("flowpind"), "--config", path, "--socket", lab.path("s")), 2))
    with lab.inside(gw):
        for command, status in commands_:
            r = subprocess.run(command, capture_output=True, text=True, timeout=seconds(20), check=False,
                               stdin=subprocess.DEVNULL)
            if not (r.returncode == status and where in r.stderr and sentence in r.stderr
                    and len(r.stderr.splitlines()) == 1 and not r.stdout):
                check(False, f"{what}: {sentence}", (command[0].rsplit("/", 1)[-1], r))
                return
    check(True, f"{what}: {sentence}")


@case("broken configurations")
def configurations():
    with standard(1) as lab:
        lab.route(["s1"])
        state = [lab.run("gw", c) for c in ("nft list ruleset", "ip rule", "ip route show table all")]
        for what, text, line, sentence in CONFIGS:
            path = lab.path("bad.conf")
            with open(path, "w", encoding="utf-8", errors="surrogateescape") as f:
                f.write(text)
            refusals(lab, what, path, f"{path}:{line}: " if line else path, sentence)
        refusals_of_files(lab)
        equal([lab.run("gw", c) for c in ("nft list ruleset", "ip rule", "ip route show table all")], state,
              "nothing of it touched the host")
        good = lab.path("good.conf")
        with open(good, "w", encoding="ascii") as f:
            f.write(web("    port = 80\n"))
        r = subprocess.run((Daemon.program("flowpin"), "check", good), capture_output=True, text=True, check=False)
        equal((r.returncode, r.stdout), (0, f"{good}: 1 service, 1 prefix, ok\n"), "a good one is found good")


def refusals_of_files(lab):
    with lab.inside("gw"):
        for what, path, sentence in (("a file that is not there", lab.path("none"), "No such file or directory"),
                                     ("a directory", lab.tmp, "Is a directory")):
            for command in ((Daemon.program("flowpind"), "--config", path), (Daemon.program("flowpin"), "check", path)):
                r = subprocess.run(command, capture_output=True, text=True, timeout=seconds(20), check=False)
                check(r.returncode == 2 and path in r.stderr and sentence in r.stderr and len(r.stderr.splitlines()) == 1,
                      f"{what}: {os.path.basename(command[0])}: {sentence}", r)


@case("what only a start can see is refused at start")
def start_refused():
    with standard(2) as lab:
        lab.route(["s1", "s2"])
        d = Daemon(lab, WEB + "control { admin-group = fp-nobody }\n", start=False)
        d.start(wait=False)
        equal(d.expect_exit(), 2, "a group that is not there: exit status 2")
        equal(len(d.log_lines("admin-group: there is no group fp-nobody")), 1, "and the sentence")
        check("flowpin" not in lab.run("gw", "nft list tables"), "no table was made",
              lambda: lab.run("gw", "nft list tables"))
        equal(len(lab.run("gw", "ip rule").splitlines()), 3, "and no rule")


main()
