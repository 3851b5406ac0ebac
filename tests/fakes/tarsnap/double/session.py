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
        forever = options.on("retry-forever")
        self.server_or_none = Server(key.server, switches, forever=forever) if key is not None else None
        root = key.server if key is not None else (switches.account or ".")
        self.points = Points(f"{root}/points", switches)
        self.failed = False
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

    def commit(self, number: str, kind: str, archive: str | None = None) -> None:
        """Commit what is ready. `kind` is the first word of the points on the way."""
        self.points.reach(f"{kind}.before-commit", archive)
        if self.cachedir.commit(self.server, number, lambda: self.points.reach(f"{kind}.committed", archive)):
            self.committed = True
        self.points.reach(f"{kind}.after-commit", archive)

    def fail(self, closing: str | None = None) -> None:
        if closing is not None:
            warn(closing)
        self.failed = True

    def end(self) -> int:
        """Say what a program that went to its end says last; gives the exit status."""
        if not self.failed:
            return 0
        warn("Error exit delayed from previous errors.")
        if self.committed and self.switches.version >= (1, 0, 41):
            warn("Data on server was modified, but it might notbe exactly what you requested")
            return 2
        return 1
