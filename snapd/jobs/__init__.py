"""The steps of each kind of job."""

from __future__ import annotations

from snapd.jobs import backup, expire, restore_test
from snapd.jobs.base import Job
from snapd.jobs.scratch import clean_leftovers
from snapd.model import Kind

__all__ = ["backup", "clean_leftovers", "expire", "job_of", "restore_test"]


def job_of(kind: Kind) -> Job:
    """Return what carries out a run of this kind."""
    match kind:
        case Kind.BACKUP:
            return backup.run
        case Kind.RESTORE_TEST:
            return restore_test.run
        case Kind.EXPIRE:
            return expire.run
