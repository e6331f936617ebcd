"""Renders one system's kickstart with Cobbler 3.3, and prints how many milliseconds of processor time that takes.

Cobbler's own files have to be where it expects them: /etc/cobbler, /var/lib/cobbler, /var/log/cobbler. Its
template is the `sample.ks` that comes with it, for a system with one static address; nothing is fetched, and
nothing is stored.
"""

import logging
import os
import statistics
import sys
import tempfile
import time

from cobbler.api import CobblerAPI

ROUNDS, RENDERS = 5, 40


def system(api, folder):
    boot = {}
    for name in ("vmlinuz", "initrd.img"):
        boot[name] = os.path.join(folder, name)
        open(boot[name], "wb").close()
    distro = api.new_distro()
    distro.name, distro.breed, distro.arch = "rocky", "redhat", "x86_64"
    distro.kernel, distro.initrd = boot["vmlinuz"], boot["initrd.img"]
    api.add_distro(distro, save=False)
    profile = api.new_profile()
    profile.name, profile.distro, profile.autoinstall = "rocky", "rocky", "sample.ks"
    api.add_profile(profile, save=False)
    one = api.new_system()
    one.name, one.profile = "node00002", "rocky"
    one.hostname = "node00002.bench.example"
    one.modify_interface({
        "macaddress-eth0": "02:00:00:00:00:02",
        "static-eth0": True,
        "ipaddress-eth0": "198.18.1.2",
        "netmask-eth0": "255.254.0.0",
        "ifgateway-eth0": "198.18.0.1",
    })
    api.add_system(one, save=False)
    return one.name


def main():
    logging.disable(logging.CRITICAL)
    api = CobblerAPI(is_cobblerd=True)
    with tempfile.TemporaryDirectory() as folder:
        name = system(api, folder)
        render = api.autoinstallgen.generate_autoinstall_for_system
        text = render(name)
        if "198.18.1.2" not in text:
            sys.exit("Cobbler rendered no kickstart:\n" + text)
        costs = []
        for _ in range(ROUNDS):
            before = time.process_time()
            for _ in range(RENDERS):
                render(name)
            costs.append((time.process_time() - before) * 1e3 / RENDERS)
        print(f"{statistics.median(costs):.3f} {len(text)}")


main()
