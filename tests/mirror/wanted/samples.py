# ruff: noqa: E501 - lines as the tools write them
"""Small files of each format, as their tools write them, and targets to read them for."""

from __future__ import annotations

from pathlib import Path

from proxy.mirror.wanted.targets import PLATFORMS, Target, Targets

LINUX = Target(platform=PLATFORMS["linux-64"], python="3.12")
WINDOWS = Target(platform=PLATFORMS["win-64"], python="3.12")


def targets(*platforms: str, pythons: tuple[str, ...] = ("3.12",), chosen: bool = True) -> Targets:
    """For those platforms, linux-64 where none are given."""
    names = platforms or ("linux-64",)
    return Targets(
        platforms=tuple(PLATFORMS[name] for name in names), pythons=pythons, chosen=chosen
    )


def written(folder: Path, name: str, text: str) -> Path:
    """*text* as a file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


ENVIRONMENT = """\
name: lab
channels:
  - conda-forge
  - nodefaults
  - https://conda.example.org/team
dependencies:
  - python=3.12
  - numpy >=2,<3
  - conda-forge::scipy
  - pip
  - pip:
      - requests[socks]>=2  # with a comment
      - -r more.txt
variables:
  ANY: "1"
"""

PYLOCK = """\
lock-version = "1.0"
environments = ["sys_platform == 'linux'", "sys_platform == 'win32'"]
requires-python = ">=3.11"
extras = ["web"]
dependency-groups = ["dev"]
created-by = "lab"

[[packages]]
name = "lab-app"
version = "1.0"
wheels = [
    { url = "https://files.example.org/a/lab_app-1.0-py3-none-any.whl", hashes = { sha256 = "aa" } },
]
sdist = { url = "https://files.example.org/a/lab_app-1.0.tar.gz", hashes = { sha256 = "bb" } }

[[packages]]
name = "lab-native"
version = "2.0"
wheels = [
    { url = "https://files.example.org/n/lab_native-2.0-cp312-cp312-manylinux_2_17_x86_64.whl", hashes = { sha256 = "c1" } },
    { url = "https://files.example.org/n/lab_native-2.0-cp312-cp312-manylinux_2_28_x86_64.whl", hashes = { sha256 = "c2" } },
    { url = "https://files.example.org/n/lab_native-2.0-cp312-cp312-win_amd64.whl", hashes = { sha256 = "c3" } },
]

[[packages]]
name = "lab-windows"
version = "1.0"
marker = "sys_platform == 'win32'"
sdist = { url = "https://files.example.org/w/lab_windows-1.0.tar.gz", hashes = { sha256 = "dd" } }

[[packages]]
name = "lab-web"
version = "1.0"
marker = "'web' in extras"
wheels = [
    { url = "https://files.example.org/x/lab_web-1.0-py3-none-any.whl", hashes = { sha256 = "ee" } },
]

[[packages]]
name = "lab-test"
version = "1.0"
marker = "'dev' in dependency_groups"
wheels = [
    { url = "https://files.example.org/t/lab_test-1.0-py3-none-any.whl", hashes = { sha256 = "ff" } },
]

[[packages]]
name = "lab-git"
vcs = { type = "git", url = "https://git.example.org/lab.git", commit-id = "0123" }
"""

UV_LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "lab-app"
version = "0.1.0"
source = { editable = "." }
dependencies = [
    { name = "lab-core", version = "1.0", source = { registry = "https://pypi.example.org/simple" }, marker = "python_full_version < '3.12'" },
    { name = "lab-core", version = "2.0", source = { registry = "https://pypi.example.org/simple" }, marker = "python_full_version >= '3.12'" },
    { name = "lab-native", extra = ["fast"] },
    { name = "lab-windows", marker = "sys_platform == 'win32'" },
]

[package.optional-dependencies]
web = [
    { name = "lab-web" },
]

[package.dev-dependencies]
dev = [
    { name = "lab-test" },
]

[package.metadata]
requires-dist = [{ name = "lab-core" }]

[[package]]
name = "lab-core"
version = "1.0"
source = { registry = "https://pypi.example.org/simple" }
resolution-markers = ["python_full_version < '3.12'"]
wheels = [
    { url = "https://files.example.org/c/lab_core-1.0-py3-none-any.whl", hash = "sha256:a1", size = 10 },
]

[[package]]
name = "lab-core"
version = "2.0"
source = { registry = "https://pypi.example.org/simple" }
resolution-markers = ["python_full_version >= '3.12'"]
wheels = [
    { url = "https://files.example.org/c/lab_core-2.0-py3-none-any.whl", hash = "sha256:a2", size = 10 },
]

[[package]]
name = "lab-native"
version = "2.0"
source = { registry = "https://pypi.example.org/simple" }
sdist = { url = "https://files.example.org/n/lab_native-2.0.tar.gz", hash = "sha256:b0", size = 10 }
wheels = [
    { url = "https://files.example.org/n/lab_native-2.0-cp312-cp312-win_amd64.whl", hash = "sha256:b1", size = 10 },
]

[package.optional-dependencies]
fast = [
    { name = "lab-fast" },
]

[[package]]
name = "lab-fast"
version = "1.0"
source = { registry = "https://pypi.example.org/simple" }
wheels = [
    { url = "https://files.example.org/f/lab_fast-1.0-py3-none-any.whl", hash = "sha256:c1", size = 10 },
]

[[package]]
name = "lab-git"
version = "1.0"
source = { git = "https://git.example.org/lab.git#0123" }

[[package]]
name = "lab-test"
version = "1.0"
source = { registry = "https://pypi.example.org/simple" }
dependencies = [
    { name = "lab-git" },
]
wheels = [
    { url = "https://files.example.org/t/lab_test-1.0-py3-none-any.whl", hash = "sha256:d1", size = 10 },
]

[[package]]
name = "lab-unused"
version = "1.0"
source = { registry = "https://pypi.example.org/simple" }
wheels = [
    { url = "https://files.example.org/u/lab_unused-1.0-py3-none-any.whl", hash = "sha256:d2", size = 10 },
]

[[package]]
name = "lab-web"
version = "1.0"
source = { registry = "https://pypi.example.org/simple" }
wheels = [
    { url = "https://files.example.org/w/lab_web-1.0-py3-none-any.whl", hash = "sha256:e1", size = 10 },
]

[[package]]
name = "lab-windows"
version = "1.0"
source = { registry = "https://pypi.example.org/simple" }
wheels = [
    { url = "https://files.example.org/w/lab_windows-1.0-py3-none-any.whl", hash = "sha256:f1", size = 10 },
]
"""

CONDA_LOCK = """\
version: 1
metadata:
  channels:
    - url: conda-forge
      used_env_vars: []
  platforms: [linux-64, win-64]
package:
  - name: base
    version: "1.0"
    manager: conda
    platform: linux-64
    dependencies: {}
    url: https://conda.anaconda.org/conda-forge/noarch/base-1.0-0.conda
    hash:
      md5: 0123456789abcdef0123456789abcdef
      sha256: aaaa
    category: main
    optional: false
  - name: base
    version: "1.0"
    manager: conda
    platform: win-64
    dependencies: {}
    url: https://conda.anaconda.org/conda-forge/win-64/base-1.0-0.conda
    hash:
      md5: 0123456789abcdef0123456789abcdef
    category: main
    optional: false
  - name: lab-app
    version: "1.0"
    manager: pip
    platform: linux-64
    dependencies: {}
    url: https://files.example.org/a/lab_app-1.0-py3-none-any.whl
    hash:
      sha256: bbbb
    category: main
    optional: false
"""

PIXI_LOCK = """\
version: 6
environments:
  default:
    channels:
    - url: https://conda.anaconda.org/conda-forge/
    indexes:
    - https://pypi.example.org/simple
    packages:
      linux-64:
      - conda: https://conda.anaconda.org/conda-forge/noarch/base-1.0-0.conda
      - pypi: https://files.example.org/a/lab_app-1.0-py3-none-any.whl
      win-64:
      - conda: https://conda.anaconda.org/conda-forge/win-64/native-1.0-0.conda
packages:
- conda: https://conda.anaconda.org/conda-forge/noarch/base-1.0-0.conda
  sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
  md5: 0123456789abcdef0123456789abcdef
  license: MIT
  size: 100
  timestamp: 1700000000000
- conda: https://conda.anaconda.org/conda-forge/win-64/native-1.0-0.conda
  sha256: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
  md5: 0123456789abcdef0123456789abcdef
  license: MIT
  size: 100
  timestamp: 1700000000000
- pypi: https://files.example.org/a/lab_app-1.0-py3-none-any.whl
  name: lab-app
  version: "1.0"
  sha256: cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
"""

EXPLICIT = """\
# This file may be used to create an environment using:
# $ conda create --name <env> --file <this file>
# platform: linux-64
@EXPLICIT
https://conda.anaconda.org/conda-forge/noarch/base-1.0-0.conda#0123456789abcdef0123456789abcdef
https://conda.anaconda.org/conda-forge/linux-64/clib-1.0-0.tar.bz2
https://conda.anaconda.org/conda-forge/noarch/web-1.0-0.conda#aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
"""

RENV = """\
{
  "R": {
    "Version": "4.3.2",
    "Repositories": [{"Name": "CRAN", "URL": "https://cloud.r-project.org"}]
  },
  "Packages": {
    "R6": {
      "Package": "R6",
      "Version": "2.5.1",
      "Source": "Repository",
      "Repository": "CRAN",
      "Requirements": ["R"],
      "Hash": "470851b6d5d0ac559e9d01bb352b4021"
    },
    "old": {"Package": "old", "Version": "1.0-2", "Source": "CRAN"},
    "mine": {
      "Package": "mine",
      "Version": "0.0.1",
      "Source": "GitHub",
      "RemoteUsername": "me",
      "RemoteSha": "0123"
    }
  }
}
"""

SPECS = """\
# what the ship needs
conda: python 3.12.*
conda: numpy >=2
pypi: requests[socks]>=2   # for the reports
cran: dplyr
cran: R6 (>= 2.5)
"""
