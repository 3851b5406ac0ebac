"""The time zone of this machine."""

from __future__ import annotations

from tzlocal import get_localzone_name


def system_timezone() -> str:
    """Return the IANA name of the system's zone; UTC where nothing says."""
    try:
        return get_localzone_name() or "UTC"
    except (LookupError, ValueError, OSError):
        return "UTC"
