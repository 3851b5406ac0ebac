"""How long a due backup waits behind an expiry, against one delete batch and against `borg prune`.

1,000 archives are deleted from a stub that takes its time for each; 100 from a real repository, beside a
`borg prune` of the same archives, which holds Borg's lock from beginning to end.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.place import Place, instants, place, until
from bench.programs import calls, put_counting, put_stub_borg, real_borg
from bench.results import Figure, Row, ours, part, rival
from bench.samples import summary

DELETE_S = 0.02
COMMANDS = ("list", "delete", "compact", "config")
WORDS = {
    "delete": "a delete batch",
    "list": "the listing before the plan",
    "compact": "the reclaim, which is interrupted",
    "config": "a change of the reserve",
    "nothing": "between two calls",
}
EXPIRE = """
[backup.NAME.expire]
schedule = "@yearly"
deltas = ["1d", "30d"]
"""


def measure(quick: bool) -> list[Row]:
    return [_behind_stub(200 if quick else 1000), *_behind_borg(20 if quick else 100, 1 if quick else 4)]


def _behind_stub(archives: int) -> Row:
    with place() as at:
        put_stub_borg(at.bin, delete_s=DELETE_S)
        at.pretend_store()
        names = (f"{_name(number)} {_made(number):%Y-%m-%dT%H:%M:%S.000000}\n" for number in range(archives))
        (at.bin / "archives").write_text("".join(names))
        _configure(at)
        with at.daemon():
            waits = _waits(at)
        batches = _batches_ms(at)
    return Row(
        f"a due backup's wait behind an expiry of {archives:,} archives",
        "ms",
        ours([wait for values in waits.values() for wait in values]),
        summary(batches).high,
        judged_by="high",
        beside=(
            part("one delete batch (the budget is the longest)", batches),
            *_others(waits),
            rival("to the end of the expiry, as behind a program that never yields", [sum(batches)]),
        ),
        note=f"a stub that takes {1000 * DELETE_S:g} ms for each deletion",
    )


def _behind_borg(archives: int, rounds: int) -> list[Row]:
    with place() as at:
        put_counting(at.bin, real_borg())
        template = _filled(at, archives)
        shutil.copytree(template, at.root / "store", dirs_exist_ok=True)
        _configure(at)
        with at.daemon():
            at.run("backup", "web")  # builds the cache of chunks
            waits = _waits(at)
        batches = _batches_ms(at)
        pruned = [_prune_ms(at, template) for _ in range(rounds)]
    return [
        Row(
            f"the same, real Borg, {archives} archives",
            "ms",
            ours([wait for values in waits.values() for wait in values]),
            summary(batches).high,
            judged_by="high",
            beside=(
                part("one delete batch (the budget is the longest)", batches),
                *_others(waits),
                rival("to the end of a `borg prune` of as many, which never yields", pruned),
            ),
            note="borgmatic and crontabs prune like that",
        )
    ]


def _others(waits: dict[str, list[float]]) -> list[Figure]:
    return [part(f"a wait that began in {WORDS[command]}", values) for command, values in waits.items()]


def _configure(at: Place) -> None:
    at.configure(at.backup_set("mail", more=EXPIRE), at.backup_set("web"))


def _waits(at: Place) -> dict[str, list[float]]:
    """Let an expiry run, ask for backups of another set at odd moments of it, and return how long
    each waited, in milliseconds, by the engine's command that it had to wait for.
    """
    at.run("backup", "mail")
    list_and_approve = at.ask(op="plan", set="mail", approve=True)
    assert list_and_approve["plan"]["delete"] > 0
    expiry = at.ask(op="run", kind="expire", set="mail", follow=False)["run"]["run_id"]
    chance = random.Random(1)
    asked: list[tuple[float, float]] = []
    while True:
        time.sleep(chance.uniform(0.1, 0.6))
        if _has_ended(at, expiry):
            return _by_command(at, asked)
        row = at.run("backup", "web")
        due, started = instants(row, ["slot", "started"])
        asked.append((due, started))


def _by_command(at: Place, asked: list[tuple[float, float]]) -> dict[str, list[float]]:
    made = calls(at.bin)
    waits: dict[str, list[float]] = {}
    for due, started in asked:
        call = next((call for call in made if call.began <= due < call.ended), None)
        command = "nothing" if call is None else next(word for word in call.words if word in COMMANDS)
        waits.setdefault(command, []).append(1000 * (started - due))
    return waits


def _has_ended(at: Place, run_id: str) -> bool:
    ended: list[dict[str, Any]] = at.ask(op="history", set="mail", kind="expire")["runs"]
    return any(row["run_id"] == run_id for row in ended)


def _batches_ms(at: Place) -> list[float]:
    return [1000 * call.seconds for call in calls(at.bin) if "delete" in call.words]


# -- the rival ------------------------------------------------------------------------------------------


def _filled(at: Place, archives: int) -> Path:
    """Return a repository with many archives of `mail`, 2,000 small files in each."""
    repository = at.make_repository("template")
    small = at.root / "small"
    small.mkdir()
    for number in range(2000):
        (small / f"{number}").write_text(f"{number}\n")
    for number in range(archives):
        (small / "counter").write_text(f"{number}\n")
        argv = [
            *(real_borg(), "create", f"--timestamp={_made(number):%Y-%m-%dT%H:%M:%S}"),
            *(f"{repository}::{_name(number)}", str(small)),
        ]
        subprocess.run(argv, env=at.environ, check=True, capture_output=True)
    return repository


def _prune_ms(at: Place, template: Path) -> float:
    """Return how long a prune holds Borg's lock, in milliseconds.

    How long a creation then waits depends on how often it looks, every tenth of its --lock-wait; so the lock
    itself is measured.
    """
    repository = at.root / "pruned"
    shutil.copytree(template, repository)
    # Borg refuses a repository older than what it remembers of it: each copy gets a memory of its own.
    environ = {**at.environ, "BORG_BASE_DIR": tempfile.mkdtemp(dir=at.root)}
    warm = [real_borg(), "create", f"{repository}::warm", str(at.root / "saved")]
    subprocess.run(warm, env=environ, check=True, capture_output=True)
    argv = [real_borg(), "prune", "--keep-last=1", "--glob-archives=mail_*", str(repository)]
    with subprocess.Popen(argv, env=environ, stderr=subprocess.DEVNULL) as prune:
        until((repository / "lock.exclusive").exists)
        began = time.monotonic()
        until(lambda: not (repository / "lock.exclusive").exists())
        held_s = time.monotonic() - began
        if prune.wait() != 0:
            raise RuntimeError("the prune failed")
    shutil.rmtree(repository)
    return 1000 * held_s


def _made(number: int) -> datetime:
    """Return when an archive was made: four an hour, the newest two hours ago."""
    return _BEGAN - timedelta(hours=2, minutes=15 * number)


def _name(number: int) -> str:
    return f"mail_{_made(number):%Y%m%d-%H%M%S}"


_BEGAN = datetime.now(UTC).replace(microsecond=0)
