"""How the Python scenarios tell what worked."""

import sys
import traceback


class Telling:
    def __init__(self):
        self.failed = False

    def check(self, capability, scenario):
        """Runs one scenario, and prints its result in one line. What it returns is the detail."""
        try:
            detail = scenario()
        except Exception as error:  # Whatever it is, it is the result.
            self.failed = True
            traceback.print_exc()
            self.tell(capability, "FAIL", f"{type(error).__name__}: {error}")
        else:
            self.tell(capability, "ok", detail or "")

    def skip(self, capability, reason):
        self.tell(capability, "skip", reason)

    def tell(self, capability, word, detail):
        line = " ".join(str(detail).split())[:400]
        print(f"RESULT {capability} {word} {line}".rstrip(), flush=True)

    def end(self):
        sys.exit(1 if self.failed else 0)


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {got!r}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)
