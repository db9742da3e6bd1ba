"""What it was measured on, and with which versions."""
import os
import platform
import subprocess
from pathlib import Path

VERSION = {"squid": ["squid", "-v"], "trafficserver": ["traffic_server", "--version"], "tinyproxy": ["tinyproxy", "-v"],
           "apache2": ["apache2", "-v"], "privoxy": ["privoxy", "--version"], "haproxy": ["haproxy", "-v"]}


def describe(proxy_cores, load_cores):
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"processor": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "proxy_cores": len(proxy_cores), "load_cores": len(load_cores), "load_average": os.getloadavg()[0]}


def version(proxy):
    command = VERSION.get(proxy.name) or ([str(proxy.binary), "version"] if proxy.name == "exeat" else None)
    if command is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, env=proxy.environment(), check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].removeprefix("Server version: ").removeprefix(f"{proxy.name} ")[:60].rstrip() if lines else ""
