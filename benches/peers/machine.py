"""Memory of this process, and who else used the cores."""

import importlib.metadata
import os
import resource
import time

TICKS = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count()


def versions():
    """Of what is installed, besides torch and bitsandbytes."""
    found = {}
    for name in ("transformers", "peft"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def peak_mib():
    """Highest resident size since the last reset."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def reset_peak():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # the peak is then that of the whole process: higher, not wrong


class Watch:
    """What this process and others used of the cores since it was made."""

    def __init__(self):
        self.start, self.busy, self.own = time.perf_counter(), busy(), own()

    def worked(self):
        """Seconds of all cores that this process worked."""
        return own() - self.own

    def others(self):
        """The share of all cores that other processes took."""
        elapsed = time.perf_counter() - self.start
        used = (busy() - self.busy) - (own() - self.own)
        return max(0.0, used / (CORES * elapsed))


def busy():
    """Seconds that all cores worked, whoever for: all but idle and waiting for disks."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


def own():
    """Seconds that this process and its children worked."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in usage)
