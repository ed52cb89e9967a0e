"""The AppArmor profiles and the SELinux module compile with the tools of their distributions.

``make test-packages`` runs this.  No kernel here enforces them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).parents[2] / "packaging"
PROFILES = PACKAGING / "apparmor" / "hashwacht"
PROCESSES = ("scanner", "courier", "watcher", "gateway")
SELINUX_MAKEFILE = Path("/usr/share/selinux/devel/Makefile")


def test_the_profiles_of_apparmor_compile() -> None:
    if shutil.which("apparmor_parser") is None:
        pytest.skip("apparmor_parser is not installed: apt-get install apparmor")
    command = ("apparmor_parser", "--skip-kernel-load", "--skip-cache", "--names", PROFILES)
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert set(process.stdout.split()) == {f"hashwacht-{name}" for name in PROCESSES}
    subprocess.run(("apparmor_parser", "-Q", "-K", PROFILES), check=True, capture_output=True)


def test_the_module_of_selinux_compiles(tmp_path: Path) -> None:
    if not SELINUX_MAKEFILE.exists():
        pytest.skip("the policy is not installed: apt-get install selinux-policy-dev")
    for source in (PACKAGING / "selinux").iterdir():
        shutil.copy(source, tmp_path)
    command = ("make", "-f", SELINUX_MAKEFILE, "hashwacht.pp")
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "hashwacht.pp").stat().st_size > 0


@pytest.mark.parametrize("name", PROCESSES)
def test_each_unit_names_what_the_policies_define(name: str) -> None:
    unit = (PACKAGING / "systemd" / f"hashwacht-{name}.service").read_text()
    (profile,) = re.findall(r"^AppArmorProfile=-(\S+)$", unit, re.MULTILINE)
    assert f"\nprofile {profile} " in PROFILES.read_text()
    (domain,) = re.findall(r"^SELinuxContext=-system_u:system_r:(\w+):s0$", unit, re.MULTILINE)
    assert f"\ntype {domain}, " in (PACKAGING / "selinux" / "hashwacht.te").read_text()
