"""What an operator can ask of the daemon: one method for each request of the control socket.

Answers are JSON values as docs/json.md states them. Instants are ISO 8601 in UTC.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from snapd.config import BackupSet
from snapd.control import PEER_UID, error_event
from snapd.errors import ConfigError, RefusedError, SnapdError, UsageError
from snapd.followers import FOLLOW_S, Answer, Event, InUse
from snapd.gates import Few, Shared
from snapd.history import History, Run
from snapd.jobs import expire, listings
from snapd.jobs.base import Work
from snapd.logger import log
from snapd.model import Archive, Cause, Kind, Problem, job_id
from snapd.overview import Overview, Situation
from snapd.pins import Pins
from snapd.repairs import Repairs
from snapd.runner import Runner
from snapd.units import parse_duration
from snapd.views import (
    known_json,
    lost_pins,
    restore_json,
    restore_told,
    run_json,
)

__all__ = ["LISTINGS", "InUse", "Operations", "reload_refused"]


RESTORE = "restore"  # beside the kinds of runs, a word that `history` knows
MOST_NAMES = 1000  # in one request for approval
LISTINGS = 4  # at once: each holds a connection for as long as it waits for the lock


class Operations:
    """Answers requests. Safe to call from several threads."""

    def __init__(
        self,
        situation: Callable[[], Situation],
        history: History,
        runner: Runner,
        *,
        problems: Callable[[], tuple[Problem, ...]],
        coming: Callable[[], list[tuple[datetime, str]]],
        reload: Callable[[], Event],
        in_use: InUse,
    ) -> None:
        self.overview = Overview(situation, history, runner, problems=problems, coming=coming)
        self._situation = situation
        self._history = history
        self._runner = runner
        self._reload = Shared(reload)
        self._listings = Few(LISTINGS, "listings")
        self._in_use = in_use
        self._repairs = Repairs(
            lambda: situation().accepted.config, lambda store: situation().properties[store], runner
        )
        self._pins = Pins(lambda: situation().accepted.config.backup, history, runner, self._listings)

    def answer(self, request: Mapping[str, Any]) -> Answer:
        """Answer one request; every error becomes an `error` event."""
        try:
            yield from self._dispatch(request)
        except SnapdError as error:
            yield error_event(error)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            yield error_event(UsageError(f"malformed request: {error}"))

    def _dispatch(self, request: Mapping[str, Any]) -> Answer:
        match request["op"]:
            case "status":
                yield _done(status=self._status(_optional(request, "set")))
            case "run":
                yield from self.run(
                    Kind(request["kind"]), str(request["set"]), follow=request["follow"] is True
                )
            case "history":
                yield _done(**self.rows(request))
            case "archives":
                yield from self.archives(str(request["set"]), refresh=request.get("refresh") is True)
            case "plan":
                yield from self.plan(
                    str(request["set"]), approve=request.get("approve") is True, uid=_who(request)
                )
            case "hold":
                yield from self._hold(str(request["set"]), str(request["archive"]))
            case "reload":
                yield _done(**self._reload())
            case _:
                yield from self._decree(request)

    def _decree(self, request: Mapping[str, Any]) -> Answer:
        """What an operator decides, and the history remembers."""
        match request["op"]:
            case "pause":
                yield _done(**self.pause(str(request["set"]), str(request["for"])))
            case "resume":
                yield _done(**self.resume(str(request["set"])))
            case "accept":
                yield _done(**self.accept(str(request["set"]), _who(request)))
            case "approve":
                yield _done(**self.approve(request, _who(request)))
            case "pin":
                yield from self._pins.pin(
                    str(request["archive"]),
                    only=_optional(request, "set"),
                    reason=_optional(request, "reason"),
                    uid=_who(request),
                )
            case "unpin":
                yield self._pins.unpin(
                    str(request["archive"]), only=_optional(request, "set"), uid=_who(request)
                )
            case "repair":
                yield from self._repairs.repair(
                    str(request["store"]), yes=request["yes"] is True, uid=_who(request)
                )
            case "restored":
                yield _done(**self.restored(request, _who(request)))
            case other:
                raise UsageError(
                    f"the daemon knows no request {other!r}", hint="is the command newer than the daemon?"
                )

    # -- facts ----------------------------------------------------------------------------------------

    def _status(self, only: str) -> dict[str, Any]:
        if only:
            self._set(only)
        return self.overview.status(only)

    def rows(self, request: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
        """Ended runs, and restores by hand, newest first; `set`, `kind` and `limit` narrow both."""
        only, kind = _optional(request, "set"), request.get("kind")
        if only:
            self._set(only)
        limit = int(request.get("limit", 50))
        if not 0 < limit <= 10_000:
            raise UsageError("the limit must be between 1 and 10000")
        if kind == RESTORE:
            runs: tuple[Run, ...] = ()
        else:
            runs = self._history.rows(backup_set=only, kind=Kind(kind) if kind else None, limit=limit)
        restores = () if kind and kind != RESTORE else self._history.restores(only, limit)
        return {
            "runs": [run_json(run) for run in runs],
            "restores": [restore_json(restore) for restore in restores],
        }

    def archives(self, name: str, *, refresh: bool) -> Answer:
        """Archives of a set as last listed; with `refresh` the store is asked first, under the lock."""
        backup_set = self._set(name)
        if refresh:
            yield {"event": "listing", "store": backup_set.store}
            with self._listings.place():
                self._runner.look(job_id(Kind.BACKUP, name), listings.look)
        known = self._history.known_archives(name)
        proven = {proof.archive: proof.passed.isoformat() for proof in self._history.proofs(name)}
        pins = self._history.pins(backup_set.store, name)
        pinned = {pin.archive: pin.pinned.isoformat() for pin in pins}
        yield _done(
            archives=[
                {
                    **known_json(item),
                    "proven": proven.get(item.archive.name),
                    "pinned": pinned.get(item.archive.name),
                }
                for item in known
            ],
            pinned_lost=lost_pins(backup_set, pins, known),
        )

    def plan(self, name: str, *, approve: bool, uid: int) -> Answer:
        """What expiry would do now, from a fresh listing under the lock; `approve` approves those names, if
        that is what holds them.
        """
        backup_set = self._set(name)
        yield {"event": "listing", "store": backup_set.store}
        with self._listings.place():
            decision = self._runner.look(job_id(Kind.EXPIRE, name), partial(_decided, approve=approve))
        approved = approve and decision.hold is not None and decision.hold.approvable
        if approved:
            self._tell_approved(name, decision.planned, uid)
        yield _done(plan=expire.decision_json(decision), approved=approved)

    def plans(self, store: str) -> dict[str, Any]:
        """What expiry would do now to each set of a store, from one listing, and the archives of no set.

        Nothing is approved or deleted. Not for a daemon's sets: asked of a config that is tried.
        """
        config = self._situation().accepted.config
        mine = [backup_set for backup_set in config.backup.values() if backup_set.store == store]
        if not mine:
            return {"store": store, "sets": [], "strangers": []}
        listing = self._runner.look(job_id(Kind.BACKUP, mine[0].name), lambda work: work.engine.archives())
        names = [archive.name for archive in listing]
        return {
            "store": store,
            "sets": [
                {
                    "backup_set": backup_set.name,
                    "archives": sum(map(backup_set.owns, names)),
                    "plan": self._plan_from(backup_set, listing) if backup_set.expire else None,
                }
                for backup_set in mine
            ],
            "strangers": [name for name in names if not any(known.owns(name) for known in mine)],
        }

    def _plan_from(self, backup_set: BackupSet, listing: Sequence[Archive]) -> dict[str, object]:
        job = job_id(Kind.EXPIRE, backup_set.name)
        decision = self._runner.look(job, partial(expire.decide, listing=listing))
        return expire.decision_json(decision)

    def approve(self, request: Mapping[str, Any], uid: int) -> dict[str, Any]:
        """Approve the names of a plan as it was shown; `further` ones join those before them."""
        name, names = str(request["set"]), request["names"]
        backup_set = self._set(name)
        if not isinstance(names, list) or len(names) > MOST_NAMES:
            raise UsageError(f"the names must be a list of at most {MOST_NAMES}")
        strangers = [item for item in names if not isinstance(item, str) or not backup_set.owns(item)]
        if strangers:
            raise UsageError(f"{strangers[0]!r} is no archive of the backup set {name!r}")
        policy = expire.policy_of(backup_set, self._situation().accepted.config)
        if request["policy"] != policy:
            raise UsageError(
                f"the retention policy of {name!r} is another one than when the plan was shown",
                hint=f"look at the plan again: snapd-backup expire {name} --plan",
            )
        further = request.get("further") is True
        self._history.approve(name, names, policy, self._runner.clock(), further=further)
        self._tell_approved(name, names, uid)
        return {"set": name, "approved": len(names)}

    def _tell_approved(self, name: str, names: Sequence[str], uid: int) -> None:
        log.info("expiry-approved", backup_set=name, count=len(names), archives=list(names), peer_uid=uid)

    # -- requests -------------------------------------------------------------------------------------

    def run(self, kind: Kind, name: str, *, follow: bool) -> Answer:
        """Make a run due now, or join the one that is; with `follow` its events to the end."""
        backup_set = self._set(name)
        if not backup_set.has(kind):
            raise UsageError(
                f"the backup set {name!r} has no {kind} job",
                hint=f"add [backup.{name}.{kind.replace('-', '_')}]",
            )
        run = self._runner.ask(job_id(kind, name), self._runner.clock())
        yield {"event": "queued", "run": run_json(run)}
        if follow:
            run = yield from self._follow_slices(run)
        yield _done(run=run_json(self._history.run(run.run_id) or run))

    def _follow_slices(self, run: Run) -> Generator[Event | None, None, Run]:
        """Follow a run through all its slices; return the last one."""
        while True:
            successor = yield from self._follow(run.run_id)
            following = self._history.run(successor) if successor else None
            if following is None or following.cause is not Cause.SLICED:
                return run
            run = following

    def _follow(self, run_id: str) -> Generator[Event | None, None, str | None]:
        """Follow one row to its end; return the run that makes up for it, if there is one."""
        with self._runner.followers.follow(run_id) as events:
            while (run := self._history.run(run_id)) is not None and run.outcome is None:
                with suppress(queue.Empty):
                    while True:
                        event = events.get(timeout=FOLLOW_S)
                        yield event
                        if event["event"] == "ended":
                            return _text_or_none(event["successor"])
                yield None
        return None

    def pause(self, name: str, span: str) -> dict[str, Any]:
        self._set(name)
        try:
            until = self._runner.clock() + parse_duration(span)
        except (ValueError, OverflowError) as error:
            raise UsageError(str(error)) from error
        self._history.pause(name, until)
        self._runner.look_again()
        log.info("paused", backup_set=name, until=until.isoformat())
        return {"set": name, "paused_until": until.isoformat()}

    def resume(self, name: str) -> dict[str, Any]:
        self._set(name)
        self._history.pause(name, None)
        self._runner.look_again()
        log.info("resumed", backup_set=name)
        return {"set": name, "paused_until": None}

    def accept(self, name: str, uid: int) -> dict[str, Any]:
        """Take the mark `suspect` from all archives of a set that are known: an operator vouches for them."""
        self._set(name)
        suspects = [known for known in self._history.known_archives(name) if known.archive.suspect]
        for known in suspects:
            self._history.set_suspect(known.store, known.archive.name, False)
        self._runner.look_again()
        names = [known.archive.name for known in suspects]
        if names:
            log.info("accepted", backup_set=name, count=len(names), archives=names, peer_uid=uid)
        return {"set": name, "accepted": names}

    def restored(self, told: Mapping[str, Any], uid: int) -> dict[str, Any]:
        """Write down a restore that a command made in its own process."""
        self._set(str(told["set"]))
        restore = restore_told(told, at=self._runner.clock(), uid=uid)
        self._history.record_restore(restore)
        (log.warning if restore.error else log.info)(
            "restored",
            backup_set=restore.backup_set,
            archive=restore.archive,
            path=restore.target,
            paths=restore.paths,
            duration_s=restore.seconds,
            outcome="failed" if restore.error else "ok",
            reason=restore.error or None,
            peer_uid=uid,
        )
        return {"restore": restore_json(restore)}

    def _hold(self, name: str, archive: str) -> Answer:
        self._set(name)
        return self._in_use.hold(archive)

    def _set(self, name: str) -> BackupSet:
        sets = self._situation().accepted.config.backup
        if name not in sets:
            raise UsageError(f"there is no backup set {name!r}", hint=f"there is: {', '.join(sets)}")
        return sets[name]


def _decided(work: Work, *, approve: bool) -> expire.Decision:
    decision = expire.decide(work, work.engine.archives())
    if approve and decision.hold is not None and decision.hold.approvable:
        expire.approve(work, decision)
    return decision


def reload_refused(error: ConfigError) -> RefusedError:
    """The daemon's answer to a reload with a bad file."""
    return RefusedError(
        error.message, hint="\n".join([*error.problems, "the config in force stays as it was"]), exit_code=2
    )


def _done(**facts: Any) -> Event:
    return {"event": "done", **facts}


def _who(request: Mapping[str, Any]) -> int:
    """The user who asks: as the control socket saw it, else this process's own."""
    return int(request.get(PEER_UID, os.geteuid()))


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def _optional(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    return "" if value is None else str(value)
