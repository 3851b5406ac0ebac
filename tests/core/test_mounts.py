"""What a mountinfo file says, and what of it no archive may hold."""

from __future__ import annotations

from pathlib import Path

from snapd.mounts import Mount, kernel_folders, parse_mounts, private_folders, read_mounts

MACHINE = rb"""22 27 0:21 / /proc rw,relatime shared:5 master:1 - proc proc rw
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
24 27 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334492k
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw
26 24 0:24 / /dev/pts rw,relatime - devpts devpts rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 27 0:21 / /srv/a\040jail\134/proc rw - proc proc rw
34 27 0:40 / /tmp rw - tmpfs tmpfs rw
35 27 0:41 / /home rw - autofs systemd-1 rw
36 27 0:42 / /run/netns rw - nsfs nsfs rw
"""


def test_the_mount_points_of_the_kernels_file_systems_are_found_and_the_outermost_suffice() -> None:
    found = kernel_folders(parse_mounts(MACHINE))
    assert found == tuple(map(Path, ("/dev", "/proc", "/run/netns", "/srv/a jail\\/proc", "/sys")))


def test_what_another_mount_covers_is_judged_by_what_is_seen() -> None:
    covered = MACHINE + b"40 23 8:1 / /sys rw - ext4 /dev/sda rw\n41 27 8:2 / /srv rw - ext4 /dev/sdb rw\n"
    assert kernel_folders(parse_mounts(covered)) == (Path("/dev"), Path("/proc"), Path("/run/netns"))
    over_disk = b"27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 8:1 / /x rw - ext4 /dev/sda rw\n"
    assert kernel_folders(parse_mounts(over_disk + b"29 28 0:9 / /x rw - proc proc rw\n")) == (Path("/x"),)


def test_a_line_that_is_not_understood_hides_no_other() -> None:
    text = b"\nnonsense\n1 2 - \nx y 0:1 / /a rw - proc proc rw\n22 27 0:21 / /proc rw - proc proc rw\n"
    assert parse_mounts(text) == (Mount(22, 27, Path("/proc"), "/", "proc"),)


def test_a_parent_that_is_its_own_is_no_endless_way() -> None:
    assert kernel_folders(parse_mounts(b"5 5 0:1 / /a rw - proc proc rw\n")) == (Path("/a"),)


def test_folders_of_temporary_files_that_are_the_services_own_are_known_by_their_root() -> None:
    private = (
        b"27 1 254:0 / / rw - ext4 /dev/vda rw\n"
        b"50 27 254:0 /tmp/systemd-private-1a2b-b.service-x/tmp /tmp rw - ext4 /dev/vda rw\n"
        b"51 27 254:0 /var/tmp/systemd-private-1a2b-b.service-y/tmp /var/tmp rw - ext4 /dev/vda rw\n"
    )
    assert private_folders(parse_mounts(private)) == (Path("/tmp"), Path("/var/tmp"))
    assert private_folders(parse_mounts(MACHINE)) == ()


def test_on_this_machine_proc_is_found() -> None:
    assert Path("/proc") in kernel_folders(read_mounts())
