"""What clients report, and the table that is made of it.

A client prints one line for each capability that it tried: `RESULT <capability> <ok|skip|FAIL> <detail>`.
"""

import dataclasses

CAPABILITIES = ("streams", "put", "poll", "reshard", "consumers", "fanout", "tables", "metrics", "errors")
WORDS = ("ok", "skip", "FAIL")


@dataclasses.dataclass
class Result:
    word: str
    detail: str


@dataclasses.dataclass
class Outcome:
    client: str
    results: dict
    seconds: float

    def summary(self):
        if all(result.word == "skip" for result in self.results.values()):
            return "SKIP: " + next(iter(self.results.values())).detail
        return "  ".join(f"{name} {result.word}" for name, result in self.results.items())


def outcome(client, capabilities, word, reason):
    """The same of all capabilities."""
    return Outcome(client, {name: Result(word, reason) for name in capabilities}, 0.0)


def read_results(log, capabilities, status):
    """The results in a client's log. What a client should have told and did not is a failure."""
    results = {}
    with open(log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            parts = line.rstrip("\n").split(" ", 3)
            if len(parts) >= 3 and parts[0] == "RESULT" and parts[1] in capabilities and parts[2] in WORDS:
                word, detail = parts[2], parts[3] if len(parts) > 3 else ""
                # A capability that is tested in parts has worked when all parts did.
                if parts[1] not in results or results[parts[1]].word != "FAIL":
                    results[parts[1]] = Result(word, detail)
    ended = "stopped at its time limit" if status is None else f"ended with status {status}"
    for name in capabilities:
        results.setdefault(name, Result("FAIL", f"not told: the client {ended}"))
    if status != 0 and not any(result.word == "FAIL" for result in results.values()):
        last = capabilities[-1]
        results[last] = Result("FAIL", f"the client {ended}")
    return {name: results[name] for name in capabilities}


def table(outcomes):
    columns = [name for name in CAPABILITIES if any(name in outcome.results for outcome in outcomes)]
    columns += sorted({name for outcome in outcomes for name in outcome.results} - set(columns))
    width = max([len("client")] + [len(outcome.client) for outcome in outcomes])
    lines = ["  ".join(["client".ljust(width)] + [name.rjust(max(4, len(name))) for name in columns])]
    for outcome in outcomes:
        cells = [outcome.results[name].word if name in outcome.results else "-" for name in columns]
        lines.append("  ".join([outcome.client.ljust(width)] + [c.rjust(max(4, len(n))) for c, n in zip(cells, columns)]))
    notes = []
    for outcome in outcomes:
        reasons = {}
        for name, result in outcome.results.items():
            if result.word != "ok":
                reasons.setdefault((result.word, result.detail), []).append(name)
        for (word, detail), names in reasons.items():
            which = "" if len(names) == len(outcome.results) else f" {', '.join(names)}"
            notes.append(f"{word.upper()} {outcome.client}{which}: {detail}")
    return "\n".join(lines + [""] + notes) + ("\n" if notes else "")


def failed(outcomes, require):
    words = {result.word for outcome in outcomes for result in outcome.results.values()}
    if require and any(all(r.word == "skip" for r in outcome.results.values()) for outcome in outcomes):
        return True
    return "FAIL" in words
