"""Where the time of a hit goes: py-spy looks at the server while wrk asks it for a small file.

Run as `python -m benchmarks.profile [OUTPUT.svg]`: writes a flame graph, the parts of the
interpreter that are compiled included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import wrk
from benchmarks.contestants import Proxy
from benchmarks.stage import Stage
from benchmarks.upstream import Upstream

SECONDS = 8
RATE = 500  # samples per second


def main(output: str = "build/hit.svg") -> None:
    """See above. Ends with a message where wrk or py-spy is missing."""
    spy = Path(sys.executable).with_name("py-spy")
    if wrk.executable() is None:
        raise SystemExit(wrk.MISSING)
    if not spy.exists():
        raise SystemExit(f"py-spy is not installed: {sys.executable} -m pip install py-spy")
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pkgproxy-profile-") as folder:
        stage = Stage(folder=Path(folder), full=False)
        (file,) = stage.plain_files("small", 4000, 1)
        with Upstream(stage.upstream_folder()) as upstream, Proxy(stage.folder, upstream) as proxy:
            path = proxy.path(f"/files/{file.name}")
            wrk.load(proxy.port, proxy.pid, path, seconds=1)
            command = [str(spy), "record", "--native", "--pid", str(proxy.pid), "--output", output]
            command += ["--duration", str(SECONDS), "--rate", str(RATE)]
            with subprocess.Popen(command) as looking:
                hits = wrk.load(proxy.port, proxy.pid, path, seconds=SECONDS + 2)
                looking.wait()
    print(f"{hits.cpu_each:.1f} us of CPU per hit, {hits.rate:.0f} hits per second; see {output}")


if __name__ == "__main__":
    main(*sys.argv[1:])
