"""Requests of the attacker in the name of other machines: none of them changes a machine, or gets what is another one's."""

import re
import socket
import time

from lab import ADDRESSES, ATTACKER, MACS, OPERATORS, OWN, PORT, SERVER, VICTIM, As, own_address, own_mac
from web import Web

TOKEN = re.compile(r"/[tc]/([0-9a-f]{32})")
DB2, DB3 = "52:54:00:00:00:d2", "52:54:00:00:00:d3"


def attacker(**options):
    with As("attacker"):
        web = Web((SERVER, PORT), source=ATTACKER, **options)
        web.connect()
    return web


def own(number):
    """A connection from an interface of the attacker that has a MAC of its own."""
    with As("attacker"):
        web = Web((SERVER, PORT), source=own_address(number), device=f"own{number}")
        web.connect()
    return web


def machine(name):
    with As(name):
        web = Web((SERVER, PORT), source=ADDRESSES[name])
        web.connect()
    return web


def ask(web, path, **options):
    """A request, on a new connection if the last one was closed. A connection is made in the attacker's namespace."""
    if web.stream is None:
        with As("attacker"):
            web.connect()
    return web.get(path, **options)


class Prepared:
    """The machines that exist before the attacks: one installed, one that is being installed, undeclared ones."""

    def __init__(self, lab):
        lab.run("mark", "web01", "installed")
        boots = machine("db1")
        deadline = time.monotonic() + 20
        while True:
            script = boots.get(f"/boot?mac={MACS['db1']}&boot=1&platform=efi")[1]
            found = TOKEN.search(script)
            if found or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        if not found:
            raise RuntimeError(f"db1 gets no installer:\n{script}")
        self.token = found[1]
        self.document = f"/t/{self.token}/preseed.cfg"
        status, _ = boots.get(self.document)
        if status != 200:
            raise RuntimeError(f"db1 gets {status} for its document")
        self.check_in = []
        for number in range(OWN):
            web = own(number)
            script = web.get(f"/boot?mac={own_mac(number)}&boot=1&platform=efi")[1]
            token = TOKEN.search(script)
            if not token:
                raise RuntimeError(f"an undeclared machine does not get the microkernel:\n{script}")
            self.check_in.append(token[1])


def merge_undeclared(lab, prepared):
    """A request with the MACs of four undeclared machines."""
    web = own(0)
    macs = "&mac=".join(own_mac(number) for number in range(4))
    for boot in range(20):
        web.get(f"/boot?mac={macs}&boot=m{boot}")
    attack = attacker()
    for boot in range(20):
        ask(attack, f"/boot?mac={macs}&boot=m{boot}")


def two_nodes(lab, prepared):
    """300 requests with the MACs of two nodes, and with a serial number that contradicts."""
    web = attacker()
    for boot in range(150):
        ask(web, f"/boot?mac={DB2}&mac={DB3}&boot=t{boot}")
        ask(web, f"/boot?mac={DB3}&serial=SERIAL-DB2&boot=s{boot}")


def end_installation(lab, prepared):
    """Boots in the name of a machine that is being installed. Returns how many tokens the answers had."""
    web = attacker()
    answers = [ask(web, f"/boot?mac={MACS['db1']}&boot=x{boot}")[1] for boot in range(10)]
    return sum(prepared.token in answer for answer in answers)


def foreign_document(lab, prepared):
    """Reads of another machine's document, whole and in part."""
    web = attacker()
    statuses = [ask(web, prepared.document)[0] for _ in range(3)]
    statuses += [ask(web, prepared.document, headers="Range: bytes=0-9\r\n")[0] for _ in range(3)]
    return sum(status in (200, 206) for status in statuses)


def with_own_mac(lab, prepared):
    """The victim's MAC together with the attacker's own."""
    web = attacker()
    paths = [f"/boot?mac={DB2}&mac={MACS['attacker']}&boot=o", f"/boot?mac={MACS['attacker']}&mac={DB2}&boot=p"]
    return sum(bool(TOKEN.search(ask(web, path)[1])) for path in paths)


def foreign_check_in(lab, prepared):
    """A report with the token of another machine."""
    web = attacker()
    body = b'{"version":1,"facts":{"serial":"EVIL","product":"evil"}}'
    for token in prepared.check_in[:3]:
        if web.stream is None:
            web = attacker()
        web.request("POST", f"/c/{token}/report", body)
    return sum("EVIL" in lab.run("nodes", own_mac(number).replace(":", "-"), "facts") for number in range(3))


def hourly_limit(lab, prepared):
    """Twenty undeclared machines boot; then a declared machine boots as before."""
    for number in range(OWN):
        own(number).get(f"/boot?mac={own_mac(number)}&boot=h")
    boots = machine("db1")
    return int("per-hour" in boots.get(f"/boot?mac={MACS['db1']}&boot=2")[1])


def other_host(lab, prepared):
    """Requests for another name, and of a web browser."""
    web = attacker()
    paths = f"/boot?mac={MACS['web01']}"
    statuses = []
    for header in ["Host: evil.example\r\n", f"Origin: http://{SERVER}:{PORT}\r\n", "Sec-Fetch-Site: none\r\n"]:
        if web.stream is None:
            web = attacker()
        statuses.append(web.get(paths, headers=header)[0])
    return sum(status == 200 for status in statuses)


def operator(lab, prepared):
    """Commands of any program of the server's host without the token, or with a wrong one."""
    answered = 0
    for headers in ["", "Authorization: Bearer wrong\r\n"]:
        for path in ["/api/v1/nodes/db1/reinstall", "/api/v1/nodes/web01/reinstall", "/api/v1/pause"]:
            web = Web(("127.0.0.1", OPERATORS), headers + "Content-Type: application/json\r\n")
            answered += web.request("POST", path, b"{}")[0] == 200
    return answered


CLAIMS = [
    ("one request with the MACs of four undeclared machines", merge_undeclared, "changes"),
    ("300 requests that match two nodes", two_nodes, "changes"),
    ("ten boots of a machine that is being installed", end_installation, "tokens"),
    ("six reads of another machine's document", foreign_document, "answers"),
    ("the MAC of a node beside the attacker's", with_own_mac, "tokens"),
    ("reports with another machine's token", foreign_check_in, "facts"),
    ("undeclared boots use up `installs-per-hour`", hourly_limit, "refusals"),
    ("another `Host`, a web page", other_host, "answers"),
    ("commands without the operator token", operator, "answers"),
]


def run(lab, prepared, rows):
    for name, act, counted in CLAIMS:
        before, hooked = lab.nodes(), lab.hooked()
        count = act(lab, prepared) or 0
        after = lab.nodes()
        changed = [node for node in before if before[node] != after.get(node)]
        for node in changed:
            print(f"{name}: {node}: {before[node]} is now {after.get(node)}")
        rows.add(f"{name}: changed machines", len(changed), 0)
        if counted != "changes":
            rows.add(f"{name}: {counted}", count, 0)
        rows.add(f"{name}: runs of a hook", lab.hooked() - hooked, 0)
