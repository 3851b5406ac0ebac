"""A shell command as words: what sh(1) would read, with nothing expanded and nothing run.

`shlex` knows neither `$(…)` nor operators, so this is a lexer of its own, after POSIX, Shell Command
Language, 2.2 (quoting), 2.3 (tokens), 2.6 (expansions) and 2.7 (redirections).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})", re.ASCII)
_OPERATOR = re.compile(r"&&|\|\||;;|\|&|[;&|()\n]")
_REDIRECTION = re.compile(r"([0-9]*)(&>>|&>|>>|>&|<&|<>|>\||<<<|<<-?|>|<)")
_END_OF_WORD = " \t\n;&|()<>"
_WILD = re.compile(r"[*?]|\[[^\]]*\]")
_BRACES = re.compile(r"\{[^{}]*,[^{}]*\}")


class ShellError(ValueError):
    """The command is no shell command: a quote or a substitution that never ends. One sentence."""


class Kind(Enum):
    """What a piece of a word is."""

    TEXT = "text"
    COMMAND = "command"  # `$(…)`, with what is inside
    VARIABLE = "variable"  # `$NAME`, with the name
    OTHER = "other"  # an expansion that is not followed, as it was written


_SUBSTITUTIONS = (
    ("`", "`", Kind.COMMAND),
    ("$((", "))", Kind.OTHER),
    ("$(", ")", Kind.COMMAND),
    ("${", "}", Kind.OTHER),
)


@dataclass(frozen=True, slots=True)
class Piece:
    kind: Kind
    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Word:
    """One word: as it was written, and its pieces."""

    raw: str
    pieces: tuple[Piece, ...]

    @property
    def literal(self) -> str | None:
        """The word's text, or None when some of it is only known when the command runs."""
        if any(piece.kind is not Kind.TEXT for piece in self.pieces) or self.is_wild:
            return None
        return self.text

    @property
    def text(self) -> str:
        """The text of the word; expansions are left out."""
        return "".join(piece.text for piece in self.pieces if piece.kind is Kind.TEXT)

    @property
    def is_wild(self) -> bool:
        """Whether the shell would look for files that match it."""
        bare = "".join(
            piece.text if piece.kind is Kind.TEXT and not piece.quoted else "\0" for piece in self.pieces
        )
        return bool(_WILD.search(bare) or _BRACES.search(bare))

    @classmethod
    def of(cls, text: str) -> Word:
        """Return a word that means exactly this text."""
        return cls(text, (Piece(Kind.TEXT, text, quoted=True),))


@dataclass(frozen=True, slots=True)
class Operator:
    """What stands between two commands: `&&`, `||`, `;`, `|`, `&`, a line end, or a parenthesis."""

    raw: str


@dataclass(frozen=True, slots=True)
class Redirection:
    """`>file`, `2>&1` and the like, as written. `reads` tells those that feed the command."""

    raw: str
    reads: bool


@dataclass(frozen=True, slots=True)
class Comment:
    raw: str


Token = Word | Operator | Redirection | Comment


def tokens(command: str) -> list[Token]:
    """Split a command. Raises ShellError with one sentence."""
    return list(_Lexer(command).tokens())


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def tokens(self) -> list[Token]:
        found: list[Token] = []
        while self._skip_blanks():
            found.append(self._token())
        return found

    def _skip_blanks(self) -> bool:
        """Move to the next token; false at the end."""
        while self._at < len(self._text):
            if self._text[self._at] in " \t":
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
            else:
                return True
        return False

    def _token(self) -> Token:
        text, start = self._text, self._at
        if text[start] == "#":
            end = text.find("\n", start)
            self._at = len(text) if end < 0 else end
            return Comment(text[start : self._at])
        if text.startswith(("<(", ">("), start):
            return self._word()
        if match := _REDIRECTION.match(text, start):
            return self._redirection(match)
        if match := _OPERATOR.match(text, start):
            self._at = match.end()
            return Operator(match[0])
        return self._word()

    def _redirection(self, match: re.Match[str]) -> Redirection:
        if match[2].startswith("<<"):
            raise ShellError(f"{match[2]} is not read: a here-document has no place in a crontab")
        self._at = match.end()
        if not self._skip_blanks() or self._text[self._at] in _END_OF_WORD:
            raise ShellError(f"nothing follows {match[0]}, where a file is expected")
        self._word()
        return Redirection(self._text[match.start() : self._at], reads=match[2] in ("<", "<&", "<>"))

    def _word(self) -> Word:
        start = self._at
        pieces: list[Piece] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in _END_OF_WORD and not (
                self._at == start and self._text.startswith(("<(", ">("), self._at)
            ):
                break
            pieces += self._pieces(character)
        return Word(self._text[start : self._at], _joined(pieces))

    def _pieces(self, character: str) -> list[Piece]:
        match character:
            case "'":
                return [self._single_quoted()]
            case '"':
                return self._double_quoted()
            case "\\":
                self._at += 2
                return [Piece(Kind.TEXT, self._text[self._at - 1 : self._at] or "\\", quoted=True)]
            case "$" | "`":
                return [self._expansion(quoted=False)]
            case "<" | ">":
                self._at += 2
                return [Piece(Kind.OTHER, character + "(" + self._inside(")", character + "(") + ")")]
            case _:
                self._at += 1
                return [Piece(Kind.TEXT, character)]

    def _single_quoted(self) -> Piece:
        start = self._at + 1
        end = self._text.find("'", start)
        if end < 0:
            raise ShellError(_never_ends("quote '", self._at))
        self._at = end + 1
        return Piece(Kind.TEXT, self._text[start:end], quoted=True)

    def _double_quoted(self) -> list[Piece]:
        opened = self._at
        self._at += 1
        pieces = [Piece(Kind.TEXT, "", quoted=True)]  # so that "" is a word
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == '"':
                self._at += 1
                return pieces
            if character in "$`":
                pieces.append(self._expansion(quoted=True))
                continue
            if character == "\\" and self._text[self._at + 1 : self._at + 2] in ("$", "`", '"', "\\", "\n"):
                self._at += 1
                character = self._text[self._at].replace("\n", "")
            pieces.append(Piece(Kind.TEXT, character, quoted=True))
            self._at += 1
        raise ShellError(_never_ends('quote "', opened))

    def _expansion(self, *, quoted: bool) -> Piece:
        """Read what starts with `$` or a backquote."""
        text, start = self._text, self._at
        if match := _VARIABLE.match(text, start):
            self._at = match.end()
            return Piece(Kind.VARIABLE, match[1] or match[2], quoted)
        for opening, closing, kind in _SUBSTITUTIONS:
            if text.startswith(opening, start):
                self._at += len(opening)
                return self._substitution(opening, closing, kind, quoted=quoted)
        special = re.match(r"[0-9@*#?$!-]", text[start + 1 : start + 2])
        self._at += 2 if special else 1
        return Piece(Kind.OTHER if special else Kind.TEXT, text[start : self._at], quoted)

    def _substitution(self, opening: str, closing: str, kind: Kind, *, quoted: bool) -> Piece:
        inside = self._inside(closing, opening)
        if opening == "`":
            return Piece(kind, re.sub(r"\\([`$\\])", r"\1", inside), quoted)
        return Piece(kind, inside if kind is Kind.COMMAND else f"{opening}{inside}{closing}", quoted)

    def _inside(self, closing: str, opening: str) -> str:
        """Return what stands before `closing`, and move behind it, past quotes and parentheses inside."""
        text, start = self._text, self._at
        expected = list(closing)
        while expected:
            if self._at >= len(text):
                raise ShellError(_never_ends(opening, start - len(opening)))
            self._step(expected)
        return text[start : self._at - len(closing)]

    def _step(self, expected: list[str]) -> None:
        """Take one character inside a substitution; `expected` are the ends that are still to come."""
        text = self._text
        character = text[self._at]
        self._at += 1
        if character == expected[-1]:
            expected.pop()
        elif character == "\\":
            self._at += 1
        elif character == "'" and expected[-1] != '"':
            self._at -= 1
            self._single_quoted()
        elif character == '"':
            expected.append('"')
        elif character == "`" and "`" not in expected:
            expected.append("`")
        elif character == "(" and (expected[-1] != '"' or text[self._at - 2] == "$"):
            expected.append(")")


def _joined(pieces: list[Piece]) -> tuple[Piece, ...]:
    """Join neighbours that are plain text alike."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and last.kind is piece.kind is Kind.TEXT and last.quoted == piece.quoted:
            joined[-1] = Piece(Kind.TEXT, last.text + piece.text, piece.quoted)
        else:
            joined.append(piece)
    return tuple(joined)


def _never_ends(what: str, at: int) -> str:
    return f"the {what} at character {at + 1} of the command is never closed"
