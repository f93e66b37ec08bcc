"""Trouble with the lease table, as the workers' own logs tell it."""

import re

BEGINS = re.compile(r"^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")
ABOUT_LEASES = re.compile(r"lease|dynamo|checkpoint|coordinat|table", re.IGNORECASE)
# Of a stack trace what was called to do something to a lease, and not what happens to be started by a coordinator.
FRAME = re.compile(r"^\s+at (?!software\.amazon\.kinesis\.(leases|checkpoint)\.|software\.amazon\.awssdk\.services\.dynamodb\.).*\n?", re.MULTILINE)
# What is Java's own affair: what is looked for, and a note, if one is worth it.
EXCUSED = (
    # A shard that is merged waits until its sister has ended too, and tells so by an exception that is tried again.
    ("BlockedOnParentShardException", None),
    # KCL 2.x counts the leases that nobody owns as those of a worker without a name. If that one has the most, and they do
    # not count as expired yet since their counters have moved, its attempt to steal fails. The next look takes them.
    ('"mostLoadedWorkerIdentifier" is null', "a look for leases failed at those that nobody owned, as it does in KCL 2.x"),
)


def entries(path):
    """The entries of a log, each with its stack trace."""
    entry = []
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if BEGINS.match(line) and entry:
                yield "".join(entry)
                entry = []
            entry.append(line)
    if entry:
        yield "".join(entry)


def java(path):
    """The errors, and notes of those that are excused."""
    found, notes = [], []
    for entry in entries(path):
        level = re.match(r"\S+ \S+ (\S+)", entry)
        if not (level and level.group(1) == "ERROR") and "Exception" not in entry:
            continue
        excuse = next((note for text, note in EXCUSED if text in entry), "")
        if excuse != "":
            notes += [excuse] if excuse else []
        elif ABOUT_LEASES.search(FRAME.sub("", entry)):
            found.append(first_line(entry))
    return found, notes


def rust(path):
    return [first_line(entry) for entry in entries(path) if re.match(r"\S+\s+ERROR\b", entry)]


def first_line(entry):
    return entry.split("\n", 1)[0][:300]
