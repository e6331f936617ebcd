"""Runs every attack against a server, and prints the table. See tests/attack."""

import multiprocessing
import os
import resource
import signal
import sys
import time

import amplify
import claims
from floods import FLOODS
from lab import MACS, Lab

MAX_RESIDENT = 128
MAX_RESIDENT_AFTER = 64
MAX_JOURNAL = 1_000_000
MAX_SLOWDOWN = 3
# Undeclared machines that become known at once, and those that this program makes.
MAX_NEW = 500
# How long the memory may take to go back to the system, in seconds.
RELEASE = 60


class Rows:
    def __init__(self):
        self.rows = []

    def add(self, name, measured, bound, shape="{:.0f}"):
        """`bound` is the largest good figure; none if the figure is only printed."""
        is_good = bound is None or measured <= bound
        self.rows.append((name, shape.format(measured), "" if bound is None else shape.format(bound), is_good))

    def print(self):
        width = max(len(row[0]) for row in self.rows)
        print(f"| {'attack':{width}} | measured | bound | ok  |")
        print(f"|{'-' * (width + 2)}|---------:|------:|-----|")
        for name, measured, bound, is_good in self.rows:
            print(f"| {name:{width}} | {measured:>8} | {bound:>5} | {'yes' if is_good else 'NO '} |")

    def failed(self):
        return [row[0] for row in self.rows if not row[3]]


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def latency(seconds):
    """The 95th percentile of the time that a declared machine waits for its script, in milliseconds."""
    times, web01 = [], claims.machine("web01")
    # The machine would be another host: it does not wait for a core that a flood of this program uses.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        status, script = web01.get(f"/boot?mac={MACS['web01']}&boot={len(times)}")
        times.append((time.monotonic() - began) * 1e3)
        if status != 200 or not script.startswith("#!ipxe"):
            raise RuntimeError(f"web01 gets {status}: {script}")
        time.sleep(0.005)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    web01.close()
    return percentile(times, 0.95)


def settle(lab, seconds):
    """Waits until the memory has gone back to the system, and returns what is resident."""
    end = time.monotonic() + seconds
    while lab.resident() > MAX_RESIDENT_AFTER and time.monotonic() < end:
        time.sleep(0.25)
    return lab.resident()


def watch(lab, connection):
    """Samples the memory until it is told to stop, and sends the largest sample."""
    most = 0
    while not connection.poll(0.02):
        most = max(most, lab.resident())
    connection.send(most)


def begin(act, prepared):
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    act(prepared)


def flood(lab, prepared, name, act, options, rows):
    before = lab.nodes()
    journal = lab.journal()
    idle = options.idle or latency(options.seconds / 6)
    process = multiprocessing.Process(target=begin, args=(act, prepared), daemon=True)
    ours, theirs = multiprocessing.Pipe()
    watcher = multiprocessing.Process(target=watch, args=(lab, theirs), daemon=True)
    watcher.start()
    process.start()
    loaded = latency(options.seconds)
    was_alive = process.is_alive()
    process.kill()
    process.join()
    ours.send("end")
    most = ours.recv()
    watcher.join()
    lab.check()
    if not was_alive:
        raise RuntimeError(f"{name}: the flood has ended")
    # Lines that only report are written within a second.
    time.sleep(1)
    grown = lab.journal() - journal
    after = settle(lab, RELEASE)
    rows.add(f"{name}: resident memory at most, MiB", most, MAX_RESIDENT)
    rows.add(f"{name}: afterwards, MiB", after, MAX_RESIDENT_AFTER)
    rows.add(f"{name}: growth of the journal in {options.seconds:.0f} s, KB", grown / 1e3, MAX_JOURNAL / 1e3)
    bound = MAX_SLOWDOWN if options.speed else None
    rows.add(f"{name}: 95 % of boots, ms, without", idle, None, "{:.2f}")
    rows.add(f"{name}: 95 % of boots, ms, under it", loaded, None, "{:.2f}")
    rows.add(f"{name}: ratio of both", loaded / idle, bound, "{:.1f}")
    now = lab.nodes()
    # The attacker's own machines may change: their reports are confirmed.
    changed = [node for node in before if before[node]["declared"] and before[node] != now.get(node)]
    for node in changed:
        print(f"{name}: {node}: {before[node]} is now {now.get(node)}")
    rows.add(f"{name}: changed declared machines", len(changed), 0)


class Options:
    def __init__(self, words):
        self.seconds = 60 if "all" in words else 1.2
        self.speed = "speed" in words
        # Without a flood, in milliseconds. It is measured before each flood if they are long.
        self.idle = None


def main():
    program, *words = sys.argv[1:]
    options = Options(words)
    # This program is process 1 of its namespace, which ignores signals without a handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    resource.setrlimit(resource.RLIMIT_NOFILE, (20_000, 20_000))
    # The server and the machines go before other programs of this host, the floods after them.
    os.nice(-10)
    # The server runs on the last core, the attacker and the machines on the first.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    lab, rows = Lab(program, cores[-1]), Rows()
    began = time.monotonic()
    try:
        lab.start()
        prepared = claims.Prepared(lab)
        before = lab.nodes()
        amplify.run(rows)
        claims.run(lab, prepared, rows)
        if options.seconds < 10:
            options.idle = latency(options.seconds)
        for name, act in FLOODS:
            flood(lab, prepared, name, act, options, rows)
        now = lab.nodes()
        undeclared = [node for node in now if node not in before]
        limit = MAX_NEW + int(time.monotonic() - began)
        rows.add("machines that were created", len(undeclared), limit)
        lab.check()
    except BaseException:
        print(lab.tail())
        raise
    finally:
        lab.stop()
    rows.print()
    failed = rows.failed()
    if failed:
        print(f"\nattack: {len(failed)} bounds do not hold: {'; '.join(failed)}")
        sys.exit(1)
    print(f"\nattack: {len(rows.rows)} figures, every bound holds, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
