"""The daemon's life: start, signals, reload, watchdog, orderly stop.

One thread decides (this one): it takes wake-ups from a mailbox, counts the slots that passed, and keeps the
alarm clock, the runner and systemd in step. Runs happen in the runner's thread, requests in the socket's.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from snapd.clocks import Reading, read_clocks
from snapd.config import Config, Folders
from snapd.control import Peer, Server
from snapd.cron import Schedule
from snapd.errors import ConfigError, SnapdError
from snapd.followers import Event
from snapd.history import History
from snapd.logger import log
from snapd.model import Kind, job_id, split_job_id
from snapd.operations import InUse, Operations, reload_refused
from snapd.overview import Situation, describe
from snapd.runner import Runner, wall_clock
from snapd.schedule import LATE, AlarmClock, Trigger
from snapd.signals import heard
from snapd.slots import Slots
from snapd.state_folder import Loaded, changes, claim, keep, load, make_folders, read
from snapd.systemd import Notifier, watchdog_interval
from snapd.upkeep import Upkeep

PASS_S = 60.0
"""Catching up happens at least this often, whatever else fails."""

JUMP_S = 60.0
AWAY_S = 7 * 86400.0
AWAKE_S = 3600.0
TIDY_S = 86400.0
REFUSALS_S = 10.0
END_S = 20.0
"""What a stop may take beyond its limit: killing the engine, closing the history."""

RESTART_S = 10.0
DEFECT_S = 1.0
LOOK_S = 600.0
"""How old the lights in the status line may be: they go off by time alone, after an hour at least."""


def triggers(config: Config) -> dict[str, Trigger]:
    return {job: Trigger(text, config.daemon.timezone) for job, text in config.schedules().items()}


def schedules(config: Config) -> dict[str, Schedule]:
    return {job: Schedule.parse(text, config.daemon.timezone) for job, text in config.schedules().items()}


@dataclass
class Mail:
    """A wake-up of the main thread: `wake` by the alarm clock, `changed` by the runner, `stop`, `hangup`, or
    `reload` with where to put the answer.
    """

    what: str
    reply: queue.SimpleQueue[Event | SnapdError] = field(default_factory=queue.SimpleQueue)


class Daemon:
    """One daemon process. `serve()` is its whole life."""

    def __init__(
        self,
        file: Path,
        folders: Folders,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._file = file
        self._folders = folders
        self._clock = clock
        self._environ = environ
        self._mailbox: queue.SimpleQueue[Mail] = queue.SimpleQueue()
        self._notifier = Notifier()
        self._started = clock()
        self._clocks = read_clocks(self._started)  # a step during the start counts, too
        self._stop_asked = False
        self._alarm_down = False
        self._alarm_tried = 0.0
        self._last_refusal = 0.0
        self._awake_at = -AWAKE_S
        self._tidied_at = time.monotonic()
        self._changes = 0
        self._looked: object = None
        self._looked_at = 0.0
        loaded = load(file, folders)
        self._history = History(folders.state, now=self._started)
        self._situation = self._describe(loaded)
        in_use = InUse()
        self.runner = Runner(
            lambda: self._situation.accepted,
            self._history,
            folders,
            clock=clock,
            in_use=in_use.names,
            changed=lambda: self._mailbox.put(Mail("changed")),
        )
        self._slots = Slots(self._history)
        self._alarm = AlarmClock(folders.state, lambda: self._mailbox.put(Mail("wake")))
        self._upkeep = Upkeep(
            lambda: self._situation.accepted, self._history, folders, clock, alone=self.runner.alone
        )
        self._operations = Operations(
            lambda: self._situation,
            self._history,
            self.runner,
            problems=self._upkeep.problems,
            coming=self._slots.coming,
            reload=self._ask_reload,
            in_use=in_use,
        )
        self._server = Server(folders.runtime, self._operations.answer, self._refused)

    # -- start ----------------------------------------------------------------------------------------

    def serve(self) -> int:
        """Run until SIGTERM or SIGINT; returns the exit status."""
        stop, hangup = (lambda: self._mailbox.put(Mail("stop"))), (lambda: self._mailbox.put(Mail("hangup")))
        with heard({signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: hangup}):
            self._begin()
            in_order = False
            try:
                self._loop()
                in_order = True
            finally:
                self._end(in_order=in_order)
        return 0

    def _begin(self) -> None:
        now = self._clock()
        self._doubt_clock(now)
        recovered = self.runner.recover(now)
        if recovered:
            log.warning("recovered", runs=recovered)
        self._take(now)
        if self._history.rebuilt:
            config = self._situation.accepted.config
            self._slots.make_due([job_id(Kind.BACKUP, name) for name in config.backup], now)
        self._server.start()
        self.runner.start()
        self._notifier.ready()
        situation = self._situation
        log.info("daemon-ready", sets=len(situation.accepted.config.backup), file=str(self._file))
        if situation.refused:
            log.error("config-fallback", problems="\n".join(situation.refused))
        self._tell_status()
        self._upkeep.look_soon()
        self._upkeep.tidy()

    def _doubt_clock(self, now: datetime) -> None:
        """A machine that was away for a week, or a clock that was wrong then or is now: nobody can tell.

        So a large expiry asks first; everything else goes on.
        """
        noted = self._history.noted("awake")
        away = (now - datetime.fromisoformat(noted)).total_seconds() if noted else 0.0
        if away > AWAY_S or away < -JUMP_S:
            log.warning("clock-doubtful", seconds=round(away))
            self._history.note("clock-jumped", now.isoformat())

    def _describe(self, loaded: Loaded) -> Situation:
        return describe(loaded, self._file, self._folders, accepted_at=self._clock(), started=self._started)

    def _take(self, now: datetime) -> None:
        """Make the slots and the alarm clock those of the config in force."""
        config = self._situation.accepted.config
        wanted = schedules(config)
        self._slots.set_jobs(wanted, now)
        self._slots.end_removed(config.jobs(), now)
        self._set_alarm(now)

    def _set_alarm(self, now: datetime) -> None:
        try:
            change = self._alarm.set(triggers(self._situation.accepted.config), now)
        except (SQLAlchemyError, OSError) as error:
            self._alarm_failed(error)
            return
        self._alarm_down = False
        for job in change.moved:
            kind, backup_set = split_job_id(job)
            log.warning("job-moved", backup_set=backup_set, kind=kind)

    # -- the loop -------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._stop_asked:
            mail = self._next_mail()
            now = self._clock()
            after = read_clocks(now)
            jumped = self._notice_jump(self._clocks, after)
            self._clocks = after
            try:
                self._serve(mail, now, jumped=jumped)
            except Exception:  # noqa: BLE001 - whatever it was, the next letter is served
                log.exception("run-defect")
                time.sleep(DEFECT_S)

    def _serve(self, mail: Mail | None, now: datetime, *, jumped: bool) -> None:
        if mail is not None:
            self._open(mail, now)
        self._pass(now, woken=jumped or (mail is not None and mail.what == "wake"))

    def _next_mail(self) -> Mail | None:
        try:
            return self._mailbox.get(timeout=self._patience(self._clock()))
        except queue.Empty:
            return None

    def _patience(self, now: datetime) -> float:
        """Seconds to the next look: a minute, the watchdog's interval, or when the next alarm is late."""
        waits = [PASS_S]
        interval = watchdog_interval(self._environ)
        if interval is not None:
            waits.append(interval)
        slot = self._slots.next_slot()
        if slot is not None:
            patience = timedelta(0) if self._alarm_down else LATE
            waits.append((slot + patience - now).total_seconds())
        return max(0.05, min(waits))

    def _open(self, mail: Mail, now: datetime) -> None:
        match mail.what:
            case "stop":
                self._stop_asked = True
            case "changed":
                self._changes += 1
            case "hangup" | "reload":
                try:
                    mail.reply.put(self._reload(now))
                except SnapdError as error:
                    mail.reply.put(error)
            case _:
                pass

    def _pass(self, now: datetime, *, woken: bool) -> None:
        """Catch up, look after the alarm clock, prove that we work."""
        caught = self._slots.catch_up(now)
        if caught.due:
            self.runner.notify()
        late = not woken and caught.earliest is not None and now - caught.earliest >= LATE
        if late or not self._alarm.running:
            self._restart_alarm(now, "late" if late else "its thread ended")
        self.runner.enforce_limits()
        self._history.flush()
        self._note_awake(now)
        self._tell_status()
        if self.runner.at_work():
            self._notifier.watchdog()
        else:
            log.error("watchdog-withheld")

    def _note_awake(self, now: datetime) -> None:
        """Remember once an hour that we are here, and look after things once a day."""
        since = time.monotonic()
        if since - self._awake_at >= AWAKE_S:
            self._awake_at = since
            self._history.note("awake", now.isoformat())
        if since - self._tidied_at >= TIDY_S:
            self._tidied_at = since
            self._upkeep.tidy()

    def _restart_alarm(self, now: datetime, reason: str) -> None:
        if self._alarm_down and time.monotonic() - self._alarm_tried < RESTART_S:
            return
        self._alarm_tried = time.monotonic()
        try:
            self._alarm.restart(now)
        except (SQLAlchemyError, OSError) as error:
            self._alarm_failed(error)
            return
        self._alarm_down = False
        log.warning("scheduler-restarted", reason=reason)

    def _alarm_failed(self, error: Exception) -> None:
        """Slots go on without the alarm clock, a little late; said once."""
        if not self._alarm_down:
            log.error("scheduler-down", reason=str(getattr(error, "orig", error)))
        self._alarm_down = True

    def _notice_jump(self, before: Reading, after: Reading) -> bool:
        """After sleep or a clock step who waits must look again; a step is remembered for expiry."""
        stepped, slept = after.stepped_since(before), after.slept_since(before)
        if max(abs(stepped), slept) < JUMP_S:
            return False
        if abs(stepped) >= JUMP_S:
            log.warning("clock-jumped", seconds=round(stepped))
            self._history.note("clock-jumped", after.wall.isoformat())
            self._slots.rewind(after.wall)
        self._set_alarm(after.wall)
        self._alarm.wakeup()
        self.runner.notify()
        return True

    # -- reload ---------------------------------------------------------------------------------------

    def _ask_reload(self) -> Event:
        """Called by the socket's thread: let the main thread reload, and wait for its verdict."""
        mail = Mail("reload")
        self._mailbox.put(mail)
        answer = mail.reply.get()
        if isinstance(answer, SnapdError):
            raise answer
        return {**answer, "problems": [item.message for item in self._upkeep.look()]}

    def _reload(self, now: datetime) -> Event:
        self._notifier.reloading()
        try:
            accepted = read(self._file)
        except ConfigError as error:
            self._tell_rejected(error)
            raise reload_refused(error) from error
        else:
            before = self._situation.accepted.config
            self._slots.catch_up(now)  # what is due by the old config is not lost
            keep(accepted, self._folders)
            self._situation = self._describe(Loaded(accepted))
            self._take(now)
            self.runner.notify()
            change = changes(before, accepted.config)
            log.info("config-accepted", file=str(self._file), **change)
            return {**change, "notes": _not_reloaded(accepted.config)}
        finally:
            self._notifier.ready()

    # -- what others see ------------------------------------------------------------------------------

    def _refused(self, reason: str, peer: Peer | None) -> None:
        """Log what the socket turned away, once in ten seconds at most."""
        if time.monotonic() - self._last_refusal < REFUSALS_S:
            return
        self._last_refusal = time.monotonic()
        log.warning("control-refused", reason=reason, peer_pid=peer and peer.pid, peer_uid=peer and peer.uid)

    def _tell_rejected(self, error: ConfigError) -> None:
        log.error(
            "config-rejected", file=str(self._file), problems="\n".join((error.message, *error.problems))
        )

    def _tell_status(self) -> None:
        """Tell systemd what runs and what comes next; the lights are looked up anew only now and then."""
        now = time.monotonic()
        look = (self._changes, self._slots.next_slot(), self._situation.accepted_at)
        if look != self._looked or now - self._looked_at > LOOK_S:
            self._looked, self._looked_at = look, now
            self._notifier.status(self._operations.overview.line())

    def _end(self, *, in_order: bool) -> None:
        self._notifier.stopping()
        limit = self._situation.accepted.config.daemon.stop_limit.total_seconds()
        self._notifier.extend(limit + END_S)  # systemd enforces the watchdog during a stop, too
        log.info("daemon-stopping", running=len(self.runner.current()))
        if in_order:  # what a defect cuts off counts towards the crash loop
            self._history.note("stopping", self._clock().isoformat())
        self._history.note("awake", self._clock().isoformat())
        self._server.stop()
        self._alarm.stop()
        ended = self.runner.stop(limit)
        self._history.close()
        log.info("daemon-stopped", clean=ended)


def _not_reloaded(config: Config) -> list[str]:
    """Say what a reload cannot do: systemd hands credentials out at the start only."""
    secrets = [store.passphrase for store in config.store.values() if store.passphrase is not None]
    if not any(secret.credential for secret in secrets):
        return []
    log.info("credentials-not-reloaded")
    return ["credentials are read at start: one that was changed needs `systemctl restart snapd-backup`"]


def serve(file: Path, folders: Folders, *, clock: Callable[[], datetime] = wall_clock) -> int:
    """Run the daemon in the foreground until it is told to stop; returns the exit status.

    Raises ConfigError (exit 2) when there is no config to run on, RefusedError when another daemon runs.
    """
    faulthandler.enable()
    make_folders(folders)
    lock = claim(folders, clock())
    try:
        return Daemon(file, folders, clock=clock).serve()
    finally:
        lock.release()
