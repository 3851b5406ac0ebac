"""How the daemon hears of a restore, and that the restore never fails because of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snapd.cli.telling import fitting, told
from snapd.control import LARGEST_REQUEST
from snapd.errors import SnapdError
from snapd.views import MOST_PATHS
from tests.cli.canned import FakeDaemon, done, error, restore
from tests.cli.conftest import Program

FACTS = {"set": "mail", "archive": "mail_1", "to": "/root/restored"}


def test_a_restore_that_went_well_is_told(program: Program, daemon: FakeDaemon) -> None:
    daemon.answers["restored"] = [done(restore=restore())]
    with told(program.runtime, FACTS, ("srv/mail",)):
        pass
    (request,) = daemon.requests
    assert request.pop("seconds") >= 0
    assert request == {"op": "restored", **FACTS, "paths": ["srv/mail"], "error": None}


@pytest.mark.parametrize(
    ("fault", "said"), [(SnapdError("no space left"), "no space left"), (KeyboardInterrupt(), "interrupted")]
)
def test_a_restore_that_failed_is_told_with_its_reason(
    program: Program, daemon: FakeDaemon, fault: BaseException, said: str
) -> None:
    daemon.answers["restored"] = [done(restore=restore())]
    with pytest.raises(type(fault)), told(program.runtime, FACTS, ()):
        raise fault
    assert daemon.requests[0]["error"] == said


def test_without_a_daemon_there_is_nobody_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with told(tmp_path, FACTS, ()):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_daemon_that_refuses_is_only_mentioned(
    program: Program, daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["restored"] = [error("there is no backup set 'mail'")]
    with told(program.runtime, FACTS, ()):
        pass
    assert "did not take this restore into its history: there is no backup set" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["x", "x" * 1000, "\udce9" * 200])
def test_paths_fit_into_a_request_and_say_how_many_are_left_out(path: str) -> None:
    kept = fitting([path] * 5000)
    assert len(kept) <= MOST_PATHS
    assert len(json.dumps(kept)) < LARGEST_REQUEST * 0.6
    assert kept[-1] == f"… and {5000 - len(kept) + 1} more"
    assert fitting([path] * 10) == [path] * 10
