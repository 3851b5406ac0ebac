"""Crontab lines that still call tarsnap: found, with the key they use."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapd.crontabs import CronCall, calls_in, calls_of_tarsnap, default_keyfile

TAB = Path("/etc/crontab")


@pytest.mark.parametrize(
    ("line", "program", "keyfile"),
    [
        ("0 */2 * * * root /usr/local/bin/tarsnap -c -f mail /srv/mail", "tarsnap", None),
        ("0 3 * * * tarsnap --keyfile /root/t.key -c -f x /etc", "tarsnap", "/root/t.key"),
        ("0 3 * * * tarsnap --keyfile=/root/t.key -c -f x /etc", "tarsnap", "/root/t.key"),
        ("50 3 * * * tarsnapper -o keyfile /root/t.key expire", "tarsnapper", None),
        ("@daily cd / && tarsnap -d -f 'x' --keyfile \"/root/a b.key\"", "tarsnap", "/root/a b.key"),
        ("@daily sh -c 'tarsnap -c", "tarsnap", None),
    ],
)
def test_a_line_that_calls_tarsnap_or_tarsnapper_is_found(
    line: str, program: str, keyfile: str | None
) -> None:
    found = list(calls_in(TAB, f"# tarsnap\nPATH=/opt/tarsnap\n{line}\n"))
    assert found == [CronCall(TAB, 3, program, Path(keyfile) if keyfile else None)]


@pytest.mark.parametrize(
    "line",
    [
        "# 0 3 * * * tarsnap -c",
        "0 3 * * * /opt/tarsnap-tools/run",
        "0 3 * * * mytarsnap -c",
        "MAILTO=tarsnap",
    ],
)
def test_other_lines_are_not(line: str) -> None:
    assert list(calls_in(TAB, line)) == []


def test_files_and_folders_are_looked_through_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "cron.d").mkdir()
    (tmp_path / "cron.d" / "mine").write_text("* * * * * root tarsnap -c\n")
    (tmp_path / "cron.d" / "odd").write_bytes(b"\xff\xfe tarsnap \n")
    (tmp_path / "crontab").write_text("nothing\n")
    found = calls_of_tarsnap((tmp_path / "crontab", tmp_path / "cron.d", tmp_path / "missing"))
    assert [(call.file.name, call.line) for call in found.calls] == [("mine", 1), ("odd", 1)]
    assert found.unread == ()


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    locked = tmp_path / "crontabs"
    locked.mkdir()
    too_long = Path("/" + "x" * 5000)  # not even root can look at it
    assert calls_of_tarsnap((too_long,)).unread == (too_long,)
    assert calls_of_tarsnap((locked,)).unread == ()


def test_the_default_key_is_read_from_the_settings_of_tarsnap(tmp_path: Path) -> None:
    settings = tmp_path / "tarsnap.conf"
    settings.write_text("# keyfile /no\ncachedir /c\nkeyfile /root/tarsnap.key\n")
    assert default_keyfile((tmp_path / "none", settings)) == Path("/root/tarsnap.key")
    assert default_keyfile((tmp_path / "none",)) is None


def test_a_default_key_of_a_user_that_is_not_there_stops_no_look(tmp_path: Path) -> None:
    settings = tmp_path / "tarsnap.conf"
    settings.write_text("keyfile ~nobody-of-that-name/tarsnap.key\n")
    assert default_keyfile((settings,)) == Path("~nobody-of-that-name/tarsnap.key")
