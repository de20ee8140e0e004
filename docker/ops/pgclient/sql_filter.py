"""Plain SQL of pg_dump, without what a restore into a new database must leave out. Pure functions over lines.

Left out are whole statements, recognised by how they begin, at the top level only: never a line inside a string, a
function's body or the data of a COPY. Owners, privileges and the extensions of the policy are pg/sql's; the schema
public and the database exist; event triggers, publications and security labels need a superuser or are not a restore's.
"""

import re
from collections.abc import Callable, Iterable, Iterator

# Statements that are left out.
LEFT_OUT = re.compile(
    rb"""(?isx)
    ( GRANT | REVOKE ) \s
    | ALTER \s+ DEFAULT \s+ PRIVILEGES \s
    | ( CREATE | ALTER | DROP | COMMENT \s+ ON ) \s+ ( DATABASE | PUBLICATION | SUBSCRIPTION | EVENT \s+ TRIGGER ) \s
    | ( ALTER | COMMENT \s+ ON ) \s+ ( ROLE | USER \s (?! MAPPING ) )   # pg_dump --create: IN DATABASE x SET y
    | CREATE \s+ ( OR \s+ REPLACE \s+ )? ( TRUSTED \s+ )? ( PROCEDURAL \s+ )? LANGUAGE \s+ ( plpgsql | "plpgsql" ) [\s;]
    | ( ALTER | COMMENT \s+ ON ) \s+ ( PROCEDURAL \s+ )? LANGUAGE \s+ ( plpgsql | "plpgsql" ) \s
    | CREATE \s+ SCHEMA \s+ ( IF \s+ NOT \s+ EXISTS \s+ )? ( public | "public" ) [\s;]
    | COMMENT \s+ ON \s+ SCHEMA \s+ ( public | "public" ) \s
    | SELECT \s+ ( pg_catalog\. )? lo_unlink \b       # pg_dump --clean, of large objects
    | SECURITY \s+ LABEL \s
    | SET \s+ SESSION \s+ AUTHORIZATION \s
    | SET \s+ default_tablespace \b
    | SET \s+ default_with_oids \b
    | ALTER \s+ EXTENSION \s
    | DROP \s                                          # pg_dump --clean: a new database has nothing to drop
    """
)
# pg_dump --clean drops constraints, defaults and identities with ALTER TABLE.
WORDS = rb"""(?:[^;'"]|"[^"]*")"""  # words and quoted names: no string, no end of a statement
DROPPING = re.compile(
    rb"(?is)ALTER\s+(?:FOREIGN\s+)?TABLE\s"
    + WORDS
    + rb"*\sDROP\s+(?:CONSTRAINT|DEFAULT|IDENTITY)\b"
    + WORDS
    + rb"*;\s*\Z"
)
OWNER = re.compile(rb"(?is)ALTER\s" + WORDS + rb"*\sOWNER\s+TO\s" + WORDS + rb"+;\s*\Z")
EXTENSION = re.compile(
    rb'(?is)(?:CREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?|COMMENT\s+ON\s+EXTENSION\s+)("(?:[^"]|"")+"|[a-z_][\w-]*)'
)
RESTRICT = re.compile(rb"\\(un)?restrict [A-Za-z0-9]+\s*\Z")
CONNECT = re.compile(rb"\\connect\s")
COPY = re.compile(rb"COPY\s.*\sFROM\s+stdin\b[^;]*;\s*\Z", re.IGNORECASE | re.DOTALL)
# What begins a part of a statement in which a semicolon or a keyword means nothing.
SPECIAL = re.compile(
    rb"""(?P<string>')|(?P<name>")|(?P<comment>--)|(?P<block>/\*)|(?P<dollar>\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$)|(?P<end>;)"""
)
IDENTIFIER = re.compile(rb"[\w$\x80-\xff]")
# Possessive: a doubled quote is never taken apart to find an end.
ESCAPED_END = re.compile(rb"(?:[^'\\]|\\.|'')*+'", re.DOTALL)


def filtered(lines: Iterable[bytes], extension_allowed: Callable[[str], bool]) -> Iterator[bytes]:
    """The lines that psql gets. `extension_allowed` tells whether CREATE EXTENSION of that name can succeed."""
    scanner = Scanner()
    statement: list[bytes] = []
    copying = False
    for number, raw in enumerate(lines):
        line = raw.removeprefix(b"\xef\xbb\xbf") if number == 0 else raw
        if copying:
            yield line
            copying = line.rstrip(b"\r\n") != b"\\."
            continue
        if not statement:
            if is_blank(line):
                yield line
                continue
            if line.startswith(b"\\") and (RESTRICT.match(line) or CONNECT.match(line)):
                continue
        statement.append(line)
        if scanner.ends(line):
            text = b"".join(statement)
            statement = []
            copying = bool(COPY.match(text))
            if not is_left_out(text, extension_allowed):
                yield text
    yield from statement  # cut off in the middle: psql says so


def is_blank(line: bytes) -> bool:
    """Nothing but white space or a comment."""
    stripped = line.strip()
    return not stripped or stripped.startswith(b"--")


def is_left_out(statement: bytes, extension_allowed: Callable[[str], bool]) -> bool:
    """Whether a statement, with its semicolon, is not for this restore."""
    extension = EXTENSION.match(statement)
    if extension:
        return not extension_allowed(extension[1].decode(errors="replace").strip('"').replace('""', '"'))
    head = statement[:4096]
    return bool(LEFT_OUT.match(head) or OWNER.match(statement) or DROPPING.match(statement))


class Scanner:
    """Follows strings, names, comments and dollar quotes over lines (PostgreSQL 17 docs, 4.1)."""

    def __init__(self) -> None:
        self.closing = b""  # of the part that is open: ' " */ or a dollar tag; E for a string with backslashes
        self.depth = 0  # of block comments, which nest

    def ends(self, line: bytes) -> bool:
        """Whether the statement ends on this line: a semicolon outside of everything."""
        position, ended = 0, False
        while position < len(line):
            if self.closing:
                position = self.close(line, position)
                continue
            found = SPECIAL.search(line, position)
            if not found:
                break
            position = found.end()
            kind = found.lastgroup
            if kind == "end":
                ended = True
            elif kind == "comment":
                break
            elif kind == "block":
                self.closing, self.depth = b"*/", 1
            elif kind == "string":
                self.closing = b"E" if begins_escape(line, found.start()) else b"'"
            elif kind == "name":
                self.closing = b'"'
            elif not (found.start() and IDENTIFIER.match(line[found.start() - 1 : found.start()])):
                self.closing = found[0]
            if ended and kind != "end":
                ended = False  # another statement has begun behind the semicolon
        return ended and not self.closing

    def close(self, line: bytes, position: int) -> int:
        """Where the open part ends on this line; the line's end if it doesn't."""
        if self.closing == b"*/":
            while found := re.compile(rb"/\*|\*/").search(line, position):
                position = found.end()
                self.depth += 1 if found[0] == b"/*" else -1
                if self.depth == 0:
                    self.closing = b""
                    return position
            return len(line)
        if self.closing == b"E":
            found = ESCAPED_END.match(line, position)
            end = found.end() if found else -1
        else:
            at = line.find(self.closing, position)
            end = at + len(self.closing) if at >= 0 else -1
        if end < 0:
            return len(line)
        self.closing = b""
        return end


def begins_escape(line: bytes, quote: int) -> bool:
    """Whether the quote at this position begins E'…'."""
    return (
        quote > 0
        and line[quote - 1 : quote] in (b"E", b"e")
        and not (quote > 1 and IDENTIFIER.match(line[quote - 2 : quote - 1]))
    )
