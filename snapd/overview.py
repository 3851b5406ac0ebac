"""What `status` and systemd's status line show, as JSON values and as a sentence.

Instants are ISO 8601 in UTC. No engine is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from snapd import __version__, machine
from snapd.config import BackupSet, Folders
from snapd.cron import Schedule
from snapd.engines.base import Properties
from snapd.facts import expiry_standing, lights_of
from snapd.history import History
from snapd.lock import SingleLock
from snapd.model import Kind, Problem, job_id, split_job_id
from snapd.runner import Runner
from snapd.state_folder import Accepted, Loaded
from snapd.views import (
    known_json,
    lights_json,
    lost_pins,
    problem_json,
    progress_json,
    run_json,
    some_of,
    standing_json,
)

_DOES = {1: "runs", 2: "runs in the second lane", None: "stands aside"}
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Situation:
    """The daemon's side of things at one moment: the config in force and what is known about it."""

    accepted: Accepted
    file: Path
    accepted_at: datetime
    started: datetime
    properties: Mapping[str, Properties]
    refused: tuple[str, ...] = ()  # problems of the file, when the last accepted one runs instead


def describe(
    loaded: Loaded, file: Path, folders: Folders, *, accepted_at: datetime, started: datetime
) -> Situation:
    """Look at the machine with the eyes of a config; asks no store."""
    config = loaded.accepted.config
    return Situation(
        accepted=loaded.accepted,
        file=file,
        accepted_at=accepted_at,
        started=started,
        properties={name: machine.engine_of(name, config, folders).properties for name in config.store},
        refused=loaded.refused,
    )


class Overview:
    """How things stand. Safe to call from several threads."""

    def __init__(
        self,
        situation: Callable[[], Situation],
        history: History,
        runner: Runner,
        *,
        problems: Callable[[], tuple[Problem, ...]],
        coming: Callable[[], list[tuple[datetime, str]]],
    ) -> None:
        self._situation = situation
        self._history = history
        self._runner = runner
        self._problems = problems
        self._coming = coming

    def status(self, only: str = "") -> dict[str, Any]:
        """Everything `status` shows, or that of one set of the config, from memory and the history; asks no
        engine.
        """
        situation, now = self._situation(), self._runner.clock()
        coming = self._expected(now)
        names = [only] if only else list(situation.accepted.config.backup)
        return {
            "version": __version__,
            "now": now.isoformat(),
            "pid": os.getpid(),
            "started": situation.started.isoformat(),
            "config": {
                "file": str(situation.file),
                "accepted": situation.accepted_at.isoformat(),
                "refused": list(situation.refused),
            },
            "running": [
                {**run_json(each.run), "lane": each.lane, "progress": progress_json(each.progress)}
                for each in self._runner.current()
            ],
            "lock": _holder(self._runner.lock),
            "reading": _holder(self._runner.reading),
            "next": {"job": coming[0][1], "slot": coming[0][0].isoformat()} if coming else None,
            "history": {"unwritten": self._history.unwritten, "rebuilt": self._history.noted("rebuilt")},
            "problems": [problem_json(item) for item in self._problems()],
            "sets": [
                self._set_status(name, situation, {job: at for at, job in coming}, now) for name in names
            ],
        }

    def line(self) -> str:
        """One line for `systemctl status`: what runs, what comes next, which sets have a light off."""
        situation, now = self._situation(), self._runner.clock()
        running = [
            f"{each.run.kind} of {each.run.backup_set} {_DOES[each.lane]}" for each in self._runner.current()
        ]
        running += [
            f"{run.kind} of {run.backup_set} failed, next attempt at {_local(run.not_before)}"
            for run in self._history.unfinished()
            if run.failures and not run.running and run.not_before is not None
        ]
        coming = self._expected(now)
        following = [f"next {coming[0][1]} at {_local(coming[0][0])}"] if coming else []
        off = self._lights_off(situation, now)
        lights = [f"lights off: {', '.join(off)}" if off else "all lights on"]
        refused = ["the config file is wrong, running on the last accepted one"] if situation.refused else []
        return "; ".join([*refused, *(running or ["idle"]), *following, *lights])

    def _expected(self, now: datetime) -> list[tuple[datetime, str]]:
        """Next slot of each job, soonest first, without those that a pause will skip."""
        expected = []
        for slot, job in self._coming():
            until = self._history.paused_until(split_job_id(job)[1], now)
            due = slot if until is None else self._first_after(job, slot, until)
            expected.extend([(due, job)] if due is not None else [])
        return sorted(expected)

    def _first_after(self, job: str, slot: datetime, until: datetime) -> datetime | None:
        """The first slot of a job that is not within its pause."""
        config = self._situation().accepted.config
        text = config.schedules().get(job)
        if slot >= until or text is None:
            return slot
        return Schedule.parse(text, config.daemon.timezone).after(until - _INSTANT)

    def _lights_off(self, situation: Situation, now: datetime) -> list[str]:
        """Say by light which sets have it off, the most pressing light first: the line may be cut."""
        config = situation.accepted.config
        off: dict[str, list[str]] = {}
        for name, backup_set in config.backup.items():
            properties = situation.properties[backup_set.store]
            for label, light in lights_of(backup_set, config, properties, self._history, now):
                off.setdefault(label, []).extend([] if light.on else [name])
        return [f"{label} ({some_of(names, len(config.backup))})" for label, names in off.items() if names]

    def _set_status(
        self, name: str, situation: Situation, coming: Mapping[str, datetime], now: datetime
    ) -> dict[str, Any]:
        config = situation.accepted.config
        backup_set = config.backup[name]
        known = self._history.known_archives(name)
        pins = self._history.pins(backup_set.store, name)
        paused = self._history.paused_until(name, now)
        properties = situation.properties[backup_set.store]
        return {
            "name": name,
            "store": backup_set.store,
            "engine": config.store[backup_set.store].engine,
            "paused_until": paused.isoformat() if paused else None,
            "lights": lights_json(lights_of(backup_set, config, properties, self._history, now)),
            "archives": len(known),
            "newest": known_json(known[0]) if known else None,
            "pinned_lost": lost_pins(backup_set, pins, known),
            "expiry": self._expiry(backup_set, config.daemon.timezone, now),
            "jobs": {
                kind: self._job_status(kind, backup_set, coming) for kind in Kind if backup_set.has(kind)
            },
        }

    def _expiry(self, backup_set: BackupSet, timezone: str, now: datetime) -> dict[str, Any] | None:
        standing = expiry_standing(backup_set, timezone, self._history, now)
        if standing is None:
            return None
        return standing_json(standing.completed, standing.late, standing.why)

    def _job_status(
        self, kind: Kind, backup_set: BackupSet, coming: Mapping[str, datetime]
    ) -> dict[str, Any]:
        job = job_id(kind, backup_set.name)
        last = self._history.last(job)
        unfinished = next((run for run in self._history.unfinished() if run.job == job), None)
        return {
            "schedule": backup_set.schedule_of(kind),
            "next": coming[job].isoformat() if job in coming else None,
            "last": run_json(last) if last else None,
            "unfinished": run_json(unfinished) if unfinished else None,
        }


def _holder(lock: SingleLock) -> dict[str, Any] | None:
    held = lock.holder()
    if held is None:
        return None
    return {"pid": held.pid, "run_id": held.run_id, "job": held.job, "since": held.since.isoformat()}


def _local(instant: datetime) -> str:
    """The wall time of this machine, as `systemctl` shows it."""
    return instant.astimezone().strftime("%a %H:%M:%S")
