"""Builds and starts the broker on a free port of loopback, and ends it."""

import contextlib
import os
import subprocess
import time

import work

BUILD_LIMIT = 1800
START_LIMIT = 30


class Served:
    """A broker that answers."""

    def __init__(self, endpoint, process=None, certificate=None):
        self.endpoint = endpoint
        self.process = process
        self.certificate = certificate

    def alive(self):
        return self.process is None or self.process.poll() is None


@contextlib.contextmanager
def serving(endpoint, tls, logs):
    if endpoint:
        yield Served(endpoint)
        return
    binary = build(logs)
    log = os.path.join(logs, "broker.log")
    command = [binary, "broker", "--listen", "127.0.0.1:0"]
    certificate = None
    if tls:
        certificate = os.path.join(logs, "broker.pem")
        command += ["--tls", "--tls-cert-out", certificate]
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        yield Served(address(process, log), process, certificate)
    finally:
        work.stop_session(process)


def build(logs):
    log = os.path.join(logs, "build.log")
    print("building the broker", flush=True)
    status = work.run(["cargo", "build", "--quiet", "--package", "kclctl"], log, BUILD_LIMIT, dict(os.environ), work.PROJECT)
    if status != 0:
        raise SystemExit(f"the broker could not be built: see {log}")
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(work.PROJECT, "target"))
    return os.path.join(target, "debug", "kclctl")


def address(process, log):
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        with open(log, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if "listening on " in line and line.endswith("\n"):
                    return line.split("listening on ", 1)[1].split()[0]
        time.sleep(0.1)
    raise SystemExit(f"the broker did not start: see {log}")
