"""Settings: options that may stand in a config file as well, where illegal ones are ignored."""

from __future__ import annotations

import os

from . import options as known
from .commandline import Options, leading_number
from .output import FatalError, UsageError, reason, warn


def settle(options: Options, *, sysconfdir: str) -> None:
    """Apply the command line's settings, then the files'; the first of each kind wins."""
    for name, value in options.delayed:
        _set(options, name, value, from_file=False)
    if "dump-config" in options.flags:
        warn(f"Command line: {' '.join(options.words)}")
    for path in options.config_files:
        if not os.path.exists(path):
            raise FatalError(f"Cannot read config file: {path}: No such file or directory")
        _read(options, path)
    if "no-default-config" not in options.flags:
        for path in _default_files(options, sysconfdir):
            _read(options, path)


def _default_files(options: Options, sysconfdir: str) -> list[str]:
    home = home_folder()
    found = [f"{home}/.tarsnaprc"]
    if options.version >= (1, 0, 41):
        base = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
        found.append(f"{base}/tarsnap/tarsnap.conf")
    found.append(f"{sysconfdir}/tarsnap.conf")
    return found


def home_folder() -> str:
    """The home of the effective user by the password file, whatever HOME says."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""


def _read(options: Options, path: str) -> None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().split("\n")
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise FatalError(f"stat({path}): {reason(error)}") from None
    exclude = not options.on("no-config-exclude")
    include = not options.on("no-config-include")
    for indented in lines:
        line = indented.lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        if line[-1] in " \t":
            warn(f"option contains trailing whitespace; future behaviour may change for:\n    {line}")
        name, _, value = line.replace("\t", " ", 1).partition(" ")
        if (name == "exclude" and not exclude) or (name == "include" and not include):
            continue
        if "dump-config" in options.flags:
            warn(f"{path}: {line}")
        _set(options, name, value.strip(" \t") or None, from_file=True)


def _set(options: Options, name: str, value: str | None, *, from_file: bool) -> None:
    if name not in known.SETTINGS or options.version < known.SINCE.get(name, (0,)):
        raise FatalError(f'Unrecognized configuration file option: "{name}"')
    modes = known.SETTING_MODES.get(name)
    if modes is not None and options.mode not in modes:
        if not from_file:
            raise FatalError(f"Option --{name} is not permitted in mode {options.mode_text}")
        return
    if name in ("exclude", "include"):
        patterns = options.exclude if name == "exclude" else options.include
        patterns.append(_value(name, value))
        return
    if name == "maxbw-rate":
        for each in ("maxbw-rate-down", "maxbw-rate-up"):
            _set(options, each, value, from_file=from_file)
        return
    if name.startswith("no-config-"):
        options.settings[name] = True
        return
    key = known.key_of(name)
    if key in options.settings:
        if not from_file:
            raise UsageError
        return
    options.settings[key] = _checked(name, value)
    if name == "keyfile":
        options.keyfile_from_config = from_file


def _value(name: str, value: str | None) -> str:
    if value is None:
        raise FatalError(f"Argument required for configuration file option: {name}")
    return home_folder() + value[1:] if value.startswith("~") else value


def _checked(name: str, value: str | None) -> str | bool:
    if name.startswith("no-"):
        return False
    if name in known.GROUPS:
        return name
    if not known.LONG[name][1]:
        return True
    value = _value(name, value)
    if name == "checkpoint-bytes":
        size = parse_size(value)
        if size is None:
            raise FatalError(f"Cannot parse #bytes per checkpoint: {value}")
        if size < 1_000_000:
            raise FatalError("checkpoint-bytes value must be at least 1M")
    elif name == "maxbw" and parse_size(value) is None:
        raise FatalError(f"Cannot parse bandwidth limit: {value}")
    elif name.startswith("maxbw-rate"):
        _check_rate(value)
    elif name == "disk-pause" and not 0 <= leading_number(value) <= 1000:
        raise FatalError("disk-pause value must be between 0 and 1000")
    elif name == "snaptime" and not os.path.exists(value):
        raise FatalError(f"Can't stat file {value}")
    return value


def _check_rate(value: str) -> None:
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 8000 <= rate <= 1_000_000_000:
        raise FatalError(f"Invalid bandwidth rate limit: {value}")


def parse_size(text: str) -> int | None:
    """Read `1G`, `500 kB`, `1000000`: decimal SI prefixes, bytes."""
    text = text.strip().removesuffix("B").rstrip()
    digits = text.rstrip("kMGTPE")
    if not digits.strip().isdigit() or len(text) - len(digits) > 1:
        return None
    scale: int = 1000 ** " kMGTPE".index(text[len(digits) :] or " ")
    return int(digits) * scale
