"""The clients: what each one needs, is run as, and has to show. A new client is one entry here."""

import dataclasses
import os
import time

import install
import report
import work

SDK = ("streams", "put", "poll", "reshard", "consumers", "fanout", "tables", "metrics", "errors")
KCL_POLLING = ("poll", "reshard", "tables", "metrics")
KCL_FANOUT = ("consumers", "fanout", "reshard", "tables", "metrics")


@dataclasses.dataclass
class Client:
    name: str
    about: str
    capabilities: tuple
    needs: tuple
    command: callable
    limit: int

    def run(self, served, logs):
        try:
            for need in self.needs:
                reason = need(logs)
                if reason:
                    return report.outcome(self.name, self.capabilities, "skip", reason)
        except install.Broken as broken:
            return report.outcome(self.name, self.capabilities, "FAIL", str(broken))
        log = os.path.join(logs, f"{self.name}.log")
        started = time.monotonic()
        status = work.run(self.command(logs), log, self.limit, work.client_environment(served), logs)
        results = report.read_results(log, self.capabilities, status)
        return report.Outcome(self.name, results, time.monotonic() - started)


def script(*path):
    return os.path.join(work.CLIENTS, *path)


def target(*path):
    return os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(work.PROJECT, "target")), *path)


def kcl(name, mode):
    """The Java KCL under its MultiLangDaemon, which needs a JRE only."""
    return Client(
        f"{name}-{mode}",
        f"the real Java KCL, {mode}: needs a JRE, and Python to drive it",
        KCL_FANOUT if mode == "fanout" else KCL_POLLING,
        (install.java, install.venv, lambda logs: install.jars(name, logs)),
        lambda logs: [install.python_of_venv(), script("kcl", "drive.py"), "--jars", install.jars_of(name), "--mode", mode, "--logs", logs],
        420,
    )


# The slow ones come first, so that they run beside the others.
CLIENTS = (
    kcl("kcl3", "fanout"),
    kcl("kcl3", "polling"),
    kcl("kcl2", "fanout"),
    kcl("kcl2", "polling"),
    Client("boto3", "Python's SDK: needs Python", SDK, (install.venv,), lambda _: [install.python_of_venv(), script("python", "scenario.py")], 180),
    Client("aws-cli", "the command line of AWS: needs Python", SDK, (install.venv,), lambda _: [install.python_of_venv(), script("awscli", "scenario.py")], 300),
    Client("js", "the JavaScript SDK v3: needs Node.js 20", SDK, (install.node_modules,), lambda _: ["node", os.path.join(work.CACHE, "js", "scenario.mjs")], 180),
    Client("rust", "the Rust SDK", SDK, (install.rust,), lambda _: [target("debug", "interop")], 180),
    Client("java", "the Java SDK v2: needs a JDK", SDK, (install.javac,), lambda _: [
        "java", "-Xmx192m", "-cp", os.path.join(work.CACHE, "java") + os.pathsep + os.path.join(install.jars_of("kcl3"), "*"), "Scenario",
    ], 180),
)


def choose(only):
    if not only:
        return list(CLIENTS)
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in wanted if not any(client.name.startswith(name) for client in CLIENTS)]
    if unknown:
        raise SystemExit(f"no client is called {', '.join(unknown)}; there are {', '.join(client.name for client in CLIENTS)}")
    exact = {client.name for client in CLIENTS}
    return [c for c in CLIENTS if any(c.name == name or (name not in exact and c.name.startswith(name)) for name in wanted)]
