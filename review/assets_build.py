"""Puts the browser parts that others wrote (htmx, wavesurfer.js) beside ours: from npm, once, at build time.

They are not in the repository and never come from another host at run time.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from soundalike.errors import ReviewError

ASSETS = Path(__file__).parent / "assets"
VENDOR = Path(__file__).parent / "static" / "vendor"

_FILES = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "wavesurfer.js/dist/wavesurfer.esm.js": "wavesurfer.esm.js",
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "wavesurfer.js/LICENSE": "wavesurfer.LICENSE.txt",
}
_INSTALL_LIMIT_S = 300


def assets_are_built() -> bool:
    return all((VENDOR / name).exists() for name in _FILES.values())


def build_assets(*, with_tests: bool = False) -> None:
    """Install what package-lock.json names and copy it to static/vendor. Raises ReviewError, one line.

    with_tests: also axe-core, which only the tests use.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise ReviewError(
            "the desk's pages need Node 18 or later once, to build them: install nodejs and npm"
            " (on Debian: apt install nodejs npm), then run `soundalike review build`"
        )
    command = [npm, "ci", "--ignore-scripts", "--no-progress", *([] if with_tests else ["--omit=dev"])]
    try:
        done = subprocess.run(
            command, cwd=ASSETS, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReviewError(f"npm could not install the desk's parts: {error}") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise ReviewError(f"npm could not install the desk's parts: {' '.join(lines[:2])[:300]}")
    VENDOR.mkdir(parents=True, exist_ok=True)
    for source, name in _FILES.items():
        shutil.copyfile(ASSETS / "node_modules" / source, VENDOR / name)


def require_assets() -> None:
    """Raises ReviewError that says in one line what to run."""
    if not assets_are_built():
        raise ReviewError("the desk's pages are not built yet: run `soundalike review build` (needs Node)")
