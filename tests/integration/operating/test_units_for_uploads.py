"""What systemd is told if web applications hand uploads over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hashwacht.daemon.systemd_units import NAME, drop_ins
from hashwacht.settings import Settings, UploadMode, UploadSettings


def test_the_socket_for_uploads_is_there_only_if_it_is_wanted_and_for_one_group() -> None:
    base = replace(Settings(), state=replace(Settings().state, directory=Path("/s")))
    base = replace(base, quarantine=replace(base.quarantine, directory=Path("/q")))
    assert not {name for name in drop_ins(base) if "uploads" in name or "target" in name}
    uploads = UploadSettings(UploadMode.DAEMON, Path("/run/a b/u.sock"), "www-data")
    made = drop_ins(replace(base, uploads=uploads))
    told = made[f"hashwacht-uploads.socket.d/{NAME}"]
    assert "[Socket]\nListenStream=\nListenStream=/run/a b/u.sock\n" in told
    assert "SocketGroup=www-data\nSocketMode=0660\n" in told
    assert "[Unit]\nWants=hashwacht-uploads.socket\n" in made[f"hashwacht.target.d/{NAME}"]
