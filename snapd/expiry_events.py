"""The events of expiry, of what holds it back and of pins: a part of the catalogue in `events`. Pure data.

Name, message id, sentence, meaning, and after the priorities the fields, as `events` says.
"""

from __future__ import annotations

_GUARDS = (
    (
        "suspect",
        "27fa00e6158f499e91d679b356f36312",
        "a dump in an archive shrank, and nothing has vouched for it since.",
    ),
    ("backup-failed", "f3213d628b324655916363c826bcd018", "the set's last backup failed."),
    ("not-fresh", "8cdc0a801a814d29881f856fef02168a", "the set's last slot has no archive."),
    (
        "rebuilt",
        "d1bae354a1744054b77b06640c99b73b",
        "the history was started from nothing: approve the plan.",
    ),
    ("foreign", "66f80d19e93e41038ea404a39bb850cd", "archives that were not made here: approve the plan."),
    (
        "policy-changed",
        "8227c693eef54d2b9a8411bfd62f502a",
        "another policy, pattern or zone: approve the plan.",
    ),
    ("clock-jumped", "69f03b188e394f9a9338c1ac07fafdb9", "the clock jumped: approve the plan."),
)

EXPIRY_EVENTS = (
    (
        "expiry-planned",
        "1d5034a2152d46f5afab68f15ad601c4",
        "expiry of {backup_set}: {keep} to keep, {delete} to delete",
        "What an expiry decided, before it deletes. REASONS has a line for each, ARCHIVES what is to go.",
        "6: run_id backup_set keep delete reasons archives",
    ),
    *(
        (
            f"expiry-held-{guard}",
            message_id,
            "expiry of {backup_set} is held: {reason}",
            f"An expiry deletes nothing: {meaning}",
            "4: run_id backup_set reason hint",
        )
        for guard, message_id, meaning in _GUARDS
    ),
    (
        "expiry-late",
        "7bccea14d50144f19cc2248e41bae9da",
        "expiry of {backup_set} could not finish for {seconds:span}[: {reason}]",
        "For more than three of its intervals, and a day at least. Told at a start and once a day.",
        "4: backup_set seconds reason completed",
    ),
    (
        "expiry-approved",
        "792b69cb11404e338418da2a3c16eb3c",
        "{count:count deletion} of {backup_set} approved",
        "An operator approved a plan that was held. ARCHIVES has one name a line.",
        "6: backup_set count archives peer_uid",
    ),
    (
        "archives-deleted",
        "3da0cfadf77f4c028f80efbb2024ca54",
        "{count:count archive} of {backup_set} deleted",
        "A batch of an expiry was deleted. ARCHIVES has one name a line.",
        "6: run_id backup_set count archives",
    ),
    (
        "pinned",
        "a8d1b31e95ba4198a5891be8f615f2a4",
        "{archive} of {backup_set} is pinned[: {reason}]",
        "An operator pinned an archive: expiry keeps it, whatever the policy says.",
        "6: backup_set archive reason peer_uid",
    ),
    (
        "unpinned",
        "c0263d582881493ca9c9d2fddeaf91a2",
        "{archive} of {backup_set} is no longer pinned",
        "An operator took a pin back: the policy decides again.",
        "6: backup_set archive peer_uid",
    ),
    (
        "pinned-lost",
        "68c2e3e022c34ae7972521609cff9047",
        "{count:count pinned archive} of {backup_set} not in the store any more",
        "Somebody else deleted what was to be kept. Each expiry tells it, until they are unpinned.",
        "4: run_id backup_set count archives",
    ),
)
