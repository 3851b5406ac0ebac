"""snapd-backup: scheduled backups, expiry and restore tests under systemd."""

__version__ = "0.1.0"
