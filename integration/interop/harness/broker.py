"""Builds and starts the broker on a free port of loopback, and ends it."""

import collections
import contextlib
import json
import os
import shutil
import ssl
import time
import urllib.request

import work

BUILD_LIMIT = 1800
START_LIMIT = 30


class Served:
    """A broker that answers."""

    def __init__(self, endpoint, process=None, certificate=None, truststore=None):
        self.endpoint = endpoint
        self.process = process
        self.certificate = certificate
        self.truststore = truststore

    def troubles(self, logs):
        """Writes down how often each operation had which outcome. Returns what no client should ever have met."""
        if self.process is not None and self.process.poll() is not None:
            return ["it ended during the run: see broker.log"]
        context = ssl.create_default_context(cafile=self.certificate) if self.certificate else None
        with urllib.request.urlopen(f"{self.endpoint}/_kcl/operations", timeout=60, context=context) as answer:
            calls = json.load(answer)["operations"]
        outcomes = collections.Counter((call["operation"], call["outcome"]) for call in calls)
        with open(os.path.join(logs, "operations.txt"), "w", encoding="utf-8") as file:
            file.writelines(f"{count:7} {operation} {outcome}\n" for (operation, outcome), count in sorted(outcomes.items()))
        return [f"{o} had {w} {n} times" for (o, w), n in sorted(outcomes.items()) if w in ("InternalFailure", "dropped")]


@contextlib.contextmanager
def serving(endpoint, tls, logs, binary=None):
    if endpoint:
        yield Served(endpoint)
        return
    binary = binary or build(logs)
    log = os.path.join(logs, "broker.log")
    command = [binary, "broker", "--listen", "127.0.0.1:0"]
    certificate = None
    if tls:
        certificate = os.path.join(logs, "broker.pem")
        command += ["--tls", "--tls-cert-out", certificate]
    with open(log, "wb") as out:
        process = work.start(command, out)
    try:
        endpoint = address(process, log)
        yield Served(endpoint, process, certificate, truststore(certificate, logs) if tls else None)
    finally:
        work.stop_session(process)


def truststore(certificate, logs):
    """The certificate in the form that Java takes, or None where there is no Java."""
    store = os.path.join(logs, "truststore.p12")
    command = ["keytool", "-importcert", "-noprompt", "-alias", "broker", "-file", certificate, "-storetype", "PKCS12"]
    command += ["-keystore", store, "-storepass", work.STORE_PASSWORD]
    if not shutil.which("keytool"):
        return None
    if work.run(command, os.path.join(logs, "keytool.log"), 60, dict(os.environ)) != 0:
        raise SystemExit("keytool refused the broker's certificate: see keytool.log")
    return store


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
