"""Whatever is done to it, the history agrees with a plain dictionary."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from snapd.history import History, Run
from snapd.model import Cause, Outcome
from tests.work.history_rows import NOW, due

JOBS = st.sampled_from(["backup:mail", "backup:shop", "expire:mail"])
INSTANTS = st.integers(0, 5).map(lambda minutes: NOW + timedelta(minutes=minutes))
MADE = [Outcome.OK, Outcome.WARNING, Outcome.FAILED, Outcome.INTERRUPTED]
NOT_MADE = [Outcome.MISSED, Outcome.SKIPPED]
CAUSES = st.sampled_from([Cause.SCHEDULE, Cause.CATCH_UP, Cause.INTERRUPTED])


def order(run: Run) -> tuple[datetime, datetime, str]:
    return (run.ended or run.last_slot or run.slot, run.slot, run.run_id)


class HistoryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.folder = Path(self.place.name) / "state"
        self.model: dict[str, Run] = {}
        self.away = False

    @initialize()
    def open(self) -> None:
        self.folder.mkdir()
        self.history = History(self.folder, now=NOW)

    def teardown(self) -> None:
        if hasattr(self, "history"):
            self.history.close()
        self.place.cleanup()

    @rule(job=JOBS, slot=INSTANTS, cause=CAUSES)
    def make_due(self, job: str, slot: datetime, cause: Cause) -> None:
        run = due(job, slot, cause)
        mine = [other for other in self.model.values() if other.job == job]
        refused = any(other.outcome is None for other in mine)
        try:
            self.history.add([run])
        except ValueError:
            assert refused
            return
        assert not refused
        self.model[run.run_id] = run

    @rule(job=JOBS, slot=INSTANTS, outcome=st.sampled_from(NOT_MADE), end=st.none() | INSTANTS)
    def record_gap(self, job: str, slot: datetime, outcome: Outcome, end: datetime | None) -> None:
        run = replace(due(job, slot), outcome=outcome, slots=2, last_slot=slot, ended=end)
        self.history.add([run])
        self.model[run.run_id] = run

    @precondition(lambda self: self.model)
    @rule(data=st.data(), outcome=st.none() | st.sampled_from([*MADE, *NOT_MADE]), at=INSTANTS)
    def change(self, data: st.DataObject, outcome: Outcome | None, at: datetime) -> None:
        run = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        changed = replace(run, outcome=outcome, started=at, ended=None if outcome is None else at)
        others = [o for o in self.model.values() if o.job == run.job and o.run_id != run.run_id]
        refused = outcome is None and any(other.outcome is None for other in others)
        try:
            self.history.update(changed)
        except ValueError:
            assert refused
            return
        assert not refused
        self.model[run.run_id] = changed

    @precondition(lambda self: not self.away)
    @rule()
    def reopen(self) -> None:
        self.history.close()
        self.history = History(self.folder, now=NOW)

    @precondition(lambda self: not self.away)
    @rule()
    def lose_the_folder(self) -> None:
        self.folder.rename(self.folder.with_name("away"))
        self.away = True

    @precondition(lambda self: self.away)
    @rule()
    def find_the_folder(self) -> None:
        self.folder.with_name("away").rename(self.folder)
        self.away = False
        self.history.flush()
        assert self.history.unwritten == 0

    @invariant()
    def memory_is_right(self) -> None:
        rows = list(self.model.values())
        unfinished = [run for run in rows if run.outcome is None]
        assert list(self.history.unfinished()) == sorted(
            unfinished, key=lambda r: (r.kind.rank, r.slot, r.run_id)
        )
        for job in ("backup:mail", "backup:shop", "expire:mail", "backup:nobody"):
            over = sorted((r for r in rows if r.job == job and r.outcome is not None), key=order)
            made = [run for run in over if run.outcome in MADE]
            assert self.history.last_row(job) == (over[-1] if over else None)
            assert self.history.last(job) == (made[-1] if made else None)

    @invariant()
    def the_file_is_right(self) -> None:
        if self.away:
            return
        over = [run for run in self.model.values() if run.outcome is not None]
        assert list(self.history.rows(limit=1000)) == sorted(over, key=order, reverse=True)
        assert all(self.history.run(run_id) == run for run_id, run in self.model.items())


TestHistoryAgreesWithADictionary = HistoryMachine.TestCase
TestHistoryAgreesWithADictionary.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
