"""What the history knows of archives, proofs, expiry and the operator's decisions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from snapd.history import History, KnownArchive, Pin, Proof, Restore
from snapd.model import Archive
from tests.work.history_rows import DAY, MINUTE, NOW


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    opened = History(tmp_path, now=NOW)
    yield opened
    opened.close()


def known(name: str, *, suspect: bool = False, encrypted: bool | None = None) -> KnownArchive:
    return KnownArchive(archive(name, suspect=suspect), "offsite", "mail", NOW, encrypted)


def archive(name: str, *, suspect: bool = False) -> Archive:
    return Archive(name, NOW + MINUTE * int(name.removeprefix("mail_")), suspect=suspect)


def names(history: History) -> list[str]:
    return [each.archive.name for each in history.known_archives("mail")]


def test_a_name_is_used_from_its_try_on_and_for_ever(history: History) -> None:
    history.record_name("offsite", "mail", "mail_1", NOW)
    history.record_archive(known("mail_2"))
    history.record_deleted("offsite", ["mail_2"], NOW)
    history.close()
    again = History(history.folder, now=NOW)
    assert again.names_used("offsite") == {"mail_1", "mail_2"}
    assert again.names_used("elsewhere") == frozenset()
    again.close()


def test_an_archive_is_made_here_when_we_tried_to_create_it(history: History) -> None:
    history.record_name("offsite", "mail", "mail_1", NOW)
    history.record_name("offsite", "shop", "shop_1", NOW)
    history.record_archive(known("mail_1"))
    history.record_archive(known("mail_2"))
    assert history.made_here("mail") == {"mail_1"}


def test_known_archives_are_those_that_were_seen_and_not_deleted_newest_first(history: History) -> None:
    history.record_name("offsite", "mail", "mail_9", NOW)
    for name in ("mail_1", "mail_3", "mail_2"):
        history.record_archive(known(name))
    history.record_deleted("offsite", ["mail_3", "mail_77"], NOW)
    assert history.known_archives("mail") == (known("mail_2"), known("mail_1"))
    assert history.known_archives("shop") == ()


def test_an_archive_that_was_tried_is_known_once_it_is_seen(history: History) -> None:
    history.record_name("offsite", "mail", "mail_1", NOW)
    history.record_archive(known("mail_1", encrypted=True))
    assert history.known_archives("mail") == (known("mail_1", encrypted=True),)


def test_seeing_an_archive_again_keeps_its_mark_and_what_is_known_of_its_encryption(history: History) -> None:
    history.record_archive(known("mail_1", suspect=True, encrypted=True))
    history.record_archive(known("mail_1"))
    assert history.known_archives("mail") == (known("mail_1", suspect=True, encrypted=True),)


def test_a_listing_is_the_truth_and_keeps_our_marks(history: History) -> None:
    history.record_archive(known("mail_1", suspect=True, encrypted=True))
    history.record_archive(known("mail_2"))
    later = NOW + DAY
    listed = history.record_listing("offsite", "mail", [archive("mail_3"), archive("mail_1")], later)
    assert listed == (archive("mail_3"), archive("mail_1", suspect=True))
    assert history.known_archives("mail") == (
        replace(known("mail_3"), seen=later),
        replace(known("mail_1", suspect=True, encrypted=True), seen=later),
    )
    assert "mail_2" in history.names_used("offsite")


def test_a_listing_concerns_one_set_of_one_store(history: History) -> None:
    history.record_archive(known("mail_1"))
    elsewhere = replace(known("mail_2"), store="local")
    shop = replace(known("mail_4"), backup_set="shop")
    history.record_archive(elsewhere)
    history.record_archive(shop)
    history.record_listing("offsite", "mail", [], NOW)
    assert history.known_archives("mail") == (elsewhere,)
    assert history.known_archives("shop") == (shop,)


def test_an_archive_that_is_listed_again_is_back(history: History) -> None:
    history.record_listing("offsite", "mail", [archive("mail_1")], NOW)
    history.record_listing("offsite", "mail", [], NOW)
    assert names(history) == []
    history.record_listing("offsite", "mail", [archive("mail_1")], NOW)
    assert names(history) == ["mail_1"]


def test_an_archive_that_became_complete_is_known_as_complete(history: History) -> None:
    history.record_listing("offsite", "mail", [replace(archive("mail_1"), complete=False)], NOW)
    assert not history.known_archives("mail")[0].archive.complete
    history.record_listing("offsite", "mail", [archive("mail_1")], NOW)
    assert history.known_archives("mail")[0].archive.complete


def test_the_mark_of_a_set_under_its_old_name_is_kept(history: History) -> None:
    history.record_archive(replace(known("mail_1", suspect=True), backup_set="post"))
    (listed,) = history.record_listing("offsite", "mail", [archive("mail_1")], NOW)
    assert listed.suspect
    assert history.known_archives("post") == ()


def test_a_mark_can_come_before_the_archive_is_seen(history: History) -> None:
    history.set_suspect("offsite", "mail_1", True)
    history.record_archive(known("mail_1"))
    assert history.known_archives("mail")[0].archive.suspect


def test_the_operator_and_a_proof_take_the_mark_away(history: History) -> None:
    for name in ("mail_1", "mail_2"):
        history.record_archive(known(name, suspect=True))
    history.set_suspect("offsite", "mail_1", False)
    history.record_proof(Proof("mail", "mail_2", NOW, 3.5))
    assert not any(each.archive.suspect for each in history.known_archives("mail"))


def test_the_last_good_dump_is_that_of_the_newest_archive_that_is_not_suspect(history: History) -> None:
    assert history.last_good_dump("mail", "db") is None
    for number, size in enumerate((100, 200, 3), start=1):
        history.record_archive(known(f"mail_{number}", suspect=size == 3))
        history.record_dumps("mail", f"mail_{number}", {"db": size, "other": 1}, NOW + number * MINUTE)
    assert history.last_good_dump("mail", "db") == 200
    history.set_suspect("offsite", "mail_3", False)
    assert history.last_good_dump("mail", "db") == 3
    assert history.last_good_dump("mail", "nobody") is None
    assert history.last_good_dump("shop", "db") is None


def test_a_deleted_archive_still_tells_how_big_its_dump_was(history: History) -> None:
    history.record_archive(known("mail_1"))
    history.record_dumps("mail", "mail_1", {"db": 100}, NOW - 500 * DAY)
    history.record_deleted("offsite", ["mail_1"], NOW)
    history.compact(NOW)
    assert history.last_good_dump("mail", "db") == 100


def test_old_dump_sizes_of_deleted_archives_go_once_there_are_newer_ones(history: History) -> None:
    for number, age in ((1, 500), (2, 500), (3, 1)):
        history.record_archive(known(f"mail_{number}"))
        history.record_dumps("mail", f"mail_{number}", {"db": number}, NOW - age * DAY)
    history.record_deleted("offsite", ["mail_1"], NOW)
    history.compact(NOW)
    for name in ("mail_2", "mail_3"):
        history.set_suspect("offsite", name, True)
    assert history.last_good_dump("mail", "db") is None
    history.set_suspect("offsite", "mail_2", False)
    assert history.last_good_dump("mail", "db") == 2


def test_proofs_come_newest_first(history: History) -> None:
    first, second = Proof("mail", "mail_1", NOW, 1.5, 60.0), Proof("mail", "mail_1", NOW + DAY, 2.0)
    history.record_proof(first)
    history.record_proof(second)
    history.record_proof(second)
    assert history.proofs("mail") == (second, first)
    assert history.proofs("shop") == ()


def test_the_policy_of_the_last_completed_expiry_is_kept(history: History) -> None:
    assert history.completed_policy("mail") is None
    history.record_expiry("mail", "one", NOW)
    history.record_expiry("mail", "two", NOW)
    assert history.completed_policy("mail") == "two"


def test_an_approval_holds_for_its_names_its_policy_and_seven_days(history: History) -> None:
    history.approve("mail", ["a", "b"], "policy", NOW)
    assert history.approved("mail", "policy", NOW + 7 * DAY) == {"a", "b"}
    assert history.approved("mail", "policy", NOW + 7 * DAY + MINUTE) == frozenset()
    assert history.approved("mail", "policy", NOW - MINUTE) == frozenset()
    assert history.approved("mail", "another", NOW) == frozenset()
    assert history.approved("shop", "policy", NOW) == frozenset()


def test_an_approval_replaces_the_one_before_and_can_be_withdrawn(history: History) -> None:
    history.approve("mail", ["a", "b"], "policy", NOW)
    history.approve("mail", ["c"], "policy", NOW)
    assert history.approved("mail", "policy", NOW) == {"c"}
    history.withdraw_approval("mail")
    assert history.approved("mail", "policy", NOW) == frozenset()


def test_a_pause_ends_by_itself_or_is_lifted(history: History) -> None:
    history.pause("mail", NOW + DAY)
    assert history.paused_until("mail", NOW) == NOW + DAY
    assert history.paused_until("mail", NOW + DAY) is None
    assert history.paused_until("shop", NOW) is None
    history.pause("mail", None)
    assert history.paused_until("mail", NOW) is None


def test_notes_are_kept_until_they_are_forgotten(history: History) -> None:
    history.note("clean-stop", "yes")
    history.note("clean-stop", "no")
    assert history.noted("clean-stop") == "no"
    history.note("clean-stop", None)
    assert history.noted("clean-stop") is None


def test_an_export_is_json_and_carries_what_a_new_machine_needs(history: History) -> None:
    history.record_archive(known("mail_1", suspect=True))
    history.record_archive(known("mail_2"))
    history.record_proof(Proof("mail", "mail_2", NOW, 1.5, 60.0))
    history.record_expiry("mail", "policy", NOW)
    history.pin(Pin("here", "mail_2", "mail", NOW, uid=1000, reason="the audit"))
    history.pin(Pin("elsewhere", "web_1", "web", NOW))
    assert json.loads(json.dumps(history.export("here", "mail"))) == {
        "backup_set": "mail",
        "pins": [
            {
                "archive": "mail_2",
                "backup_set": "mail",
                "pinned": "2026-11-23T12:00:00.000000Z",
                "reason": "the audit",
            }
        ],
        "proofs": [
            {"archive": "mail_2", "passed": "2026-11-23T12:00:00.000000Z", "seconds": 1.5, "data_age": 60.0}
        ],
        "suspects": ["mail_1"],
        "expiry_policy": "policy",
    }


def test_a_pin_stays_until_it_is_taken_back(history: History) -> None:
    pin = Pin("local", "mail_1", "mail", NOW, uid=1000, reason="caf\\udce9")
    for _again in range(2):
        history.pin(replace(pin, reason="caf\udce9"))
    assert history.pins("local", "mail") == (pin,)
    history.record_deleted("local", ["mail_1"], NOW)
    history.compact(NOW + 4000 * DAY)
    assert history.pins_on("mail_1") == (pin,)
    for _again in range(2):
        history.unpin("local", "mail_1")
    assert history.pins("local", "mail") == history.pins_on("mail_1") == ()


def test_pins_outlive_another_name_of_their_store_or_their_set(history: History) -> None:
    mail, web, far = (
        Pin("local", "mail_1", "mail", NOW),
        Pin("local", "web_1", "web", NOW + MINUTE),
        Pin("far", "mail_1", "copy", NOW),
    )
    for pin in (mail, web, far):
        history.pin(pin)
    assert history.pins("local", "letters") == (web, mail)
    assert history.pins("disk", "mail") == (mail,)
    assert history.pins("disk", "letters") == ()
    assert history.pins_on("mail_1") == (far, mail)


def test_restores_by_hand_are_told_newest_first_of_one_set_or_of_all(history: History) -> None:
    first, second, third = (
        Restore("mail", "mail_1", "/root/restored", NOW, 12.5, ("srv/mail", "etc"), 1000),
        Restore("shop", "shop_1", "/root/shop", NOW + MINUTE, 0.0),
        Restore("mail", "mail_2", "/root/caf\\udce9", NOW + 2 * MINUTE, 3.0, (), 0, "no space left"),
    )
    for restore in (second, third, first, second):
        history.record_restore(restore)
    assert history.restores() == (third, second, first)
    assert history.restores("mail") == (third, first)
    assert history.restores(limit=1) == (third,)
    assert history.restores("mail", limit=1) == (third,)
    assert history.restores("nobody") == ()


def test_a_restore_of_undecodable_paths_is_told_with_them_escaped(history: History) -> None:
    history.record_restore(Restore("mail", "mail_1", "/r/\udce9", NOW, 1.0, ("caf\udce9",), error="\udce9"))
    (told,) = history.restores("mail")
    assert (told.target, told.paths, told.error) == ("/r/\\udce9", ("caf\\udce9",), "\\udce9")


def test_restores_are_kept_for_400_days(history: History) -> None:
    old, young = (Restore("mail", "mail_1", "/r", NOW - age * DAY, 1.0) for age in (401, 399))
    for restore in (old, young):
        history.record_restore(restore)
    history.compact(NOW)
    assert history.restores() == (young,)
