"""Hostile surroundings of the real program on real Borg: engines that lie, names that mislead, odd trees."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.place import BORG, Place, places, until

EXPIRE = '[backup.mail.expire]\nschedule = "@yearly"\nmin_keep = 1\ndeltas = ["1s", "2s"]\n'
STRANGERS = (
    "mail_20260101-000000\n",
    "mail_%Y%m%d-%H%M%S",
    "mail_\uff12\uff10\uff12\uff160101-000000",  # digits, but not ours
)
OURS = ("mail_20260101-000000.2", "mail_20260101-000001.checkpoint")


def lie(place: Place, script: str, *, verb: str = "create") -> None:
    """Let a shell script stand in for one of Borg's commands."""
    (place.root / "lie").write_text(script)
    case = f'case " $* " in *" {verb} "*) [ -e {place.root}/lie ] && exec sh {place.root}/lie;; esac\n'
    wrapper = place.root / "bin" / "borg"
    wrapper.write_text(f'#!/bin/sh\n{case}exec {BORG} "$@"\n')


def borg(place: Place, *words: str) -> str:
    """Ask Borg itself, beside the program."""
    env = place.environ | {
        "PATH": os.environ["PATH"],
        "TZ": "UTC",
        "BORG_PASSPHRASE": "a secret",
        "BORG_BASE_DIR": str(place.root / "beside"),
    }
    ran = subprocess.run(["borg", *words], env=env, capture_output=True, text=True, timeout=60, check=True)
    return ran.stdout


def names(place: Place) -> set[str]:
    told = json.loads(borg(place, "list", "--json", "--consider-checkpoints", f"{place.root}/borg"))
    return {archive["name"] for archive in told["archives"]}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield from places(tmp_path)


def test_an_approved_expiry_deletes_ours_and_no_archive_with_a_name_like_ours(place: Place) -> None:
    for name in (*STRANGERS, *OURS):
        archive = f"{place.root}/borg::{name}"
        borg(place, "create", "--timestamp", "2026-01-01T00:00:00", archive, f"{place.root}/saved")
    place.write("@yearly", EXPIRE)
    place.start()
    assert place.ask(op="run", kind="backup", set="mail", follow=True)["run"]["outcome"] == "ok"
    place.ask(op="plan", set="mail", approve=True)
    assert place.ask(op="run", kind="expire", set="mail", follow=True)["run"]["outcome"] == "ok"
    left = names(place)
    assert left.issuperset(STRANGERS)
    assert left.isdisjoint(OURS)


def test_control_characters_of_an_engine_reach_neither_terminal_nor_log(place: Place) -> None:
    said = {
        "type": "log_message",
        "levelname": "ERROR",
        "name": "x",
        "message": "\x1b[31mred\x07\x9b1m\u202e",
    }
    (place.root / "said").write_text(json.dumps(said) + "\n")
    lie(place, f"cat {place.root}/said >&2; exit 2")
    place.start()
    shown = place.command("backup", "mail")
    assert shown.returncode == 1
    listed = place.command("history")
    assert "red" in listed.stdout
    log = (place.root / "log0").read_text()
    for text in (shown.stdout, shown.stderr, listed.stdout, log):
        assert not set(text) & set("\x1b\x07\x9b\u202e")


def test_an_engine_that_ends_well_without_an_archive_fails_the_run(place: Place) -> None:
    lie(place, """echo '{"archive": {"stats": {}}, "encryption": {"mode": "none"}}'""")
    place.start()
    done = place.ask(op="run", kind="backup", set="mail", follow=True)["run"]
    assert (done["outcome"], done["error_code"]) == ("failed", "partial")
    assert place.ask(op="archives", set="mail")["archives"] == []


def test_what_an_engine_leaves_behind_keeps_the_lock_but_not_the_run(place: Place) -> None:
    # It keeps both pipes open, too; the shell ends only when the other one has a session of its own.
    hold, away = place.hold(), place.root / "away"
    left = f"touch {away}; while [ -e {hold} ]; do sleep 0.02; done"
    lie(place, f'setsid sh -c "{left}" & while [ ! -e {away} ]; do sleep 0.02; done; exit 2')
    place.start()
    done = place.ask(op="run", kind="backup", set="mail", follow=True)["run"]
    assert done["outcome"] == "failed"
    assert not place.status()["running"]
    assert not place.lock_is_free()
    (place.root / "lie").unlink()
    place.ask(op="run", kind="backup", set="mail", follow=False)
    hold.unlink()
    until(lambda: ("ok", "manual") in place.outcomes())


def test_pipes_sockets_and_links_in_a_tree_are_archived_unread(place: Place) -> None:
    saved = place.root / "saved"
    os.mkfifo(saved / "pipe")
    (saved / "everything").symlink_to("/")
    (saved / "two\nlines").write_text("text")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(saved / "socket"))
        ran = place.command("backup", "mail")
    assert ran.returncode == 0, ran.stderr
    (name,) = names(place)
    listed = borg(place, "list", "--format", "{type}{path}{NUL}", f"{place.root}/borg::{name}").split("\0")
    inside = {entry[0] + entry.rpartition("/")[2] for entry in listed if "/saved/" in entry}
    assert {"ppipe", "leverything", "-two\nlines"} <= inside
    assert not any("everything/" in entry for entry in listed)
