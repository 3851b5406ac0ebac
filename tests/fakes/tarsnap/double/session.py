"""What one call works with, and what it has come to so far."""

from __future__ import annotations

from .cachedir import Cachedir
from .commandline import Options
from .keyfile import Key
from .output import warn
from .points import Points
from .server import Server
from .switches import Switches


class Session:
    """One call. `failed` and `committed` decide the exit status; without a key there is no server."""

    def __init__(
        self, options: Options, switches: Switches, key: Key | None, cachedir: str | None, argv: list[str]
    ) -> None:
        self.options = options
        self.switches = switches
        self.key_or_none = key
        self.argv = argv
        self.cachedir_or_none = Cachedir(cachedir) if cachedir is not None else None
        self.server_or_none = Server(key.server, switches) if key is not None else None
        root = key.server if key is not None else (switches.account or ".")
        self.points = Points(f"{root}/points", switches)
        self.failed = False
        self.failed_to_close = False
        self.committed = False

    @property
    def key(self) -> Key:
        assert self.key_or_none is not None
        return self.key_or_none

    @property
    def server(self) -> Server:
        assert self.server_or_none is not None
        return self.server_or_none

    @property
    def cachedir(self) -> Cachedir:
        assert self.cachedir_or_none is not None
        return self.cachedir_or_none

    def finish_former(self) -> None:
        """Commit what a former run left ready. Counts as a commit of this process."""
        if self.cachedir.finish(self.server):
            self.committed = True

    def commit(self, number: str) -> None:
        if self.cachedir.commit(self.server, number):
            self.committed = True

    def fail(self, closing: str | None = None) -> None:
        if closing is not None:
            warn(closing)
        self.failed = True

    def names(self) -> list[str]:
        """Archive names of -f, then of the file of --archive-names."""
        options = self.options
        if "archive-names" not in options.values:
            return options.names
        from .patterns import lines_of

        return [*options.names, *lines_of(options.values["archive-names"])]

    def end(self) -> int:
        """Say what a program that went to its end says last; gives the exit status."""
        if not self.failed:
            return 0
        warn("Error exit delayed from previous errors.")
        if self.committed and self.switches.version >= (1, 0, 41):
            warn("Data on server was modified, but it might notbe exactly what you requested")
            return 2
        return 1
