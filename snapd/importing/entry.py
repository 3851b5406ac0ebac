"""One line of a crontab: a list of commands, of which some are calls of tarsnap or tarsnapper.

Nothing is run. What stands around such a call (`env`, `nice`, `cd … &&`, redirections) is accounted for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from snapd.importing import calls, others, tarsnapper_line
from snapd.importing.account import Item, carried, changed, not_carried, not_needed
from snapd.importing.calls import Outcome, Surroundings
from snapd.importing.settings import absolute
from snapd.importing.words import Comment, Kind, Operator, Piece, Redirection, Token, Word, tokens

_CONSTRUCT = "a construct of the shell that is not followed: write a backup set for what it does"
_DEEPEST = 4  # shells in shells
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_KEYWORDS = frozenset(
    ("if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "{", "}", "!")
)


@dataclass(frozen=True, slots=True)
class Simple:
    """One command: its words, its redirections, and the operator before it (empty for the first)."""

    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]
    joint: str

    @property
    def text(self) -> str:
        return " ".join([*(word.raw for word in self.words), *(part.raw for part in self.redirections)])


def read(command: str, around: Surroundings, environment: dict[str, str]) -> Outcome:
    """Read the command of a job. Raises ShellError for what no shell would take."""
    variables: dict[str, tuple[Piece, ...]] = {
        name: (Piece(Kind.TEXT, value, quoted=True),) for name, value in environment.items()
    }
    return _Reader(around, variables, depth=0).read(command)


class _Reader:
    """Walks through the commands of one line; keeps the folder and the variables that they set."""

    def __init__(self, around: Surroundings, variables: dict[str, tuple[Piece, ...]], *, depth: int) -> None:
        self._around = around
        self._variables = variables
        self._depth = depth
        self._command = ""

    def read(self, command: str) -> Outcome:
        self._command = command
        found = tokens(command)
        comments = tuple(not_needed(token.raw, "a comment") for token in found if isinstance(token, Comment))
        simples = _simples(found)
        if simples is None:
            return Outcome((*comments, not_carried(command, _CONSTRUCT)))
        outcome = Outcome(comments)
        for at, simple in enumerate(simples):
            outcome += self._simple(
                simple, feeds=[other.joint for other in simples[at + 1 : at + 2]] == ["|"]
            )
        return outcome

    def _simple(self, simple: Simple, *, feeds: bool) -> Outcome:
        """Read one command. `feeds`: its output goes into the next one."""
        words = tuple(self._resolved(word) for word in simple.words)
        outcome, words = self._assignments(words)
        if not words:
            return outcome
        before, words = others.unwrapped(words)
        outcome += Outcome(before)
        program = others.program(words)
        reads_pipe = simple.joint == "|"
        if program in ("tarsnap", "tarsnapper") and simple.joint == "||":
            says = "what is done after a failure: a run that failed is tried again by itself"
            return outcome + Outcome((not_carried(simple.text, says),))
        redirections = _redirections(simple.redirections)
        if program == "tarsnap":
            piped = (not_carried("|", "what the command before it writes does not reach the archive"),)
            around = Outcome((*redirections, *(piped if reads_pipe else ())))
            return outcome + around + calls.tarsnap(words, self._around)
        if program == "tarsnapper":
            return outcome + Outcome(redirections) + tarsnapper_line.read(words, self._around)
        if program in ("sh", "bash", "dash") and self._depth < _DEEPEST:
            inner = others.shell_script(words)
            if inner is not None:
                return outcome + Outcome(redirections) + self._script(words, inner)
        return outcome + self._other(replace(simple, words=words), program, feeds=feeds)

    def _script(self, words: tuple[Word, ...], script: str) -> Outcome:
        shell = not_needed(" ".join(word.raw for word in words[:2]), "no shell is needed")
        inner = _Reader(self._around, dict(self._variables), depth=self._depth + 1)
        return Outcome((shell,)) + inner.read(script)

    def _other(self, simple: Simple, program: str, *, feeds: bool) -> Outcome:
        if program == "cd":
            return self._change_folder(simple)
        return Outcome((others.account(simple.words, simple.text, simple.joint, feeds=feeds),))

    def _change_folder(self, simple: Simple) -> Outcome:
        target = simple.words[1].literal if len(simple.words) == 2 else self._around.home
        if not target or len(simple.words) > 2:
            return Outcome((not_carried(simple.text, "the folder is only known when the command runs"),))
        folder = absolute(target, self._around.folder, self._around.home)
        self._around = replace(self._around, folder=folder)
        says = "paths are written from the root here, and so are they in the archive"
        return Outcome((changed(simple.text, says),))

    def _assignments(self, words: tuple[Word, ...]) -> tuple[Outcome, tuple[Word, ...]]:
        """Take `NAME=value` off the front; later commands see those without a command behind them."""
        count = next((at for at, word in enumerate(words) if not _ASSIGNMENT.match(word.raw)), len(words))
        alone = count == len(words)
        items = [self._assignment(word, alone=alone) for word in words[:count]]
        return Outcome(tuple(items)), words[count:]

    def _assignment(self, word: Word, *, alone: bool) -> Item:
        name = word.raw.partition("=")[0]
        if alone:
            self._variables[name] = _value(word, len(name) + 1)
            if f"${name}" in self._command or f"${{{name}}}" in self._command:
                return carried(word.raw, "where it is used")
            return not_needed(word.raw, "nothing here uses it")
        return others.variable(word.raw, name)

    def _resolved(self, word: Word) -> Word:
        """Put in the variables that are known."""
        if all(piece.kind is not Kind.VARIABLE for piece in word.pieces):
            return word
        pieces: list[Piece] = []
        for piece in word.pieces:
            known = self._variables.get(piece.text) if piece.kind is Kind.VARIABLE else None
            if known is None and piece == Piece(Kind.VARIABLE, "HOME", piece.quoted):
                known = (Piece(Kind.TEXT, self._around.home, quoted=True),)
            splits = known is not None and not piece.quoted and any(" " in part.text for part in known)
            pieces += [piece] if known is None or splits else known
        return Word(word.raw, tuple(pieces))


def _simples(found: Sequence[Token]) -> list[Simple] | None:
    """Split at the operators; None for what is more than a list of commands."""
    simples: list[Simple] = []
    words: list[Word] = []
    redirections: list[Redirection] = []
    joint = ""
    for token in (*found, Operator("")):
        match token:
            case Word():
                words.append(token)
            case Redirection():
                redirections.append(token)
            case Operator(raw) if raw in ("(", ")", ";;"):
                return None
            case Operator(raw):
                if words or redirections:
                    simples.append(Simple(tuple(words), tuple(redirections), joint))
                words, redirections, joint = [], [], raw.replace("|&", "|")
            case Comment():
                pass
    if any(simple.words and simple.words[0].raw in _KEYWORDS for simple in simples):
        return None
    return simples


def _value(word: Word, cut: int) -> tuple[Piece, ...]:
    """Return the pieces of an assignment behind its equals sign."""
    first, *rest = word.pieces
    return (replace(first, text=first.text[cut:]), *rest)


def _redirections(found: Sequence[Redirection]) -> tuple[Item, ...]:
    return tuple(
        not_carried(part.raw, "nothing is read from a file here")
        if part.reads and not part.raw.endswith("/dev/null")
        else not_needed(part.raw, "what tarsnap says is in the journal")
        for part in found
    )
