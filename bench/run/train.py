"""Runs a binary that counts what it does (-fprofile-generate) through every mode of the bench, so that the compiler learns
what is hot. `make release-pgo` calls it.

    python3 bench/run/train.py BINARY FOLDER-OF-LOAD FOLDER-FOR-PROFILES
"""
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import rounds  # noqa: E402
import world  # noqa: E402
from modes import TIMED  # noqa: E402
from proxies import Exeat  # noqa: E402

SECONDS = 1.0


class Trainee(Exeat):
    """Writes its profile when it ends, which its sandbox would forbid."""
    profiles = None

    def settings(self):
        return super().settings() | {"sandbox": "off"}

    def environment(self):
        return super().environment() | {"LLVM_PROFILE_FILE": f"{self.profiles}/%p.profraw"}


def main():
    binary, tools, profiles = (Path(argument).resolve() for argument in sys.argv[1:4])
    world.enter()
    with tempfile.TemporaryDirectory(prefix="exeat-train-") as folder:
        os.chmod(folder, 0o755)
        world.furnish(folder)
        proxy_cores, load_cores = world.cores()
        proxy = Trainee(binary, 3170)
        proxy.profiles = profiles
        if why := proxy.start(folder, proxy_cores):
            sys.exit(f"train: {why}")
        try:
            for mode in TIMED:
                if rounds.once(tools / "load", mode, proxy, SECONDS, load_cores)[0] is None:
                    sys.exit(f"train: {mode.name} failed")
        finally:
            proxy.stop()
    if not list(profiles.glob("*.profraw")):
        sys.exit("train: no profile was written")


main()
