"""The workers of a fleet: Java KCL under its MultiLangDaemon, and `kclctl consume`."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import install
import work
from failed import Failed
from records import JavaEvents, RustLines

FAILOVER = 5
HERE = os.path.dirname(os.path.abspath(__file__))


class Worker:
    """A process that was started. `asked_to_end` once nobody should wonder that it is gone."""

    asked_to_end = False

    def __init__(self, name, process, log):
        self.name = name
        self.process = process
        self.log = log

    def stop(self):
        """Asks it to stop, as an operator or an orchestrator does, and waits for the end."""
        self.asked_to_end = True
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=45)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end within 45 s of SIGTERM") from None
        self.drain()
        if status not in self.CLEAN:
            raise Failed(f"{self.name} ended with status {status} after SIGTERM: see {os.path.basename(self.log)}")

    def kill(self):
        """SIGKILL to the worker itself. Java's processors end when they find their input closed."""
        self.asked_to_end = True
        self.process.kill()
        self.process.wait(timeout=30)
        self.drain()

    def gone(self):
        """A text if it ended and was not asked to."""
        if self.asked_to_end or self.process.poll() is None:
            return None
        return f"{self.name} ended with status {self.process.returncode}: see {os.path.basename(self.log)}"

    def logged(self, text):
        with open(self.log, encoding="utf-8", errors="replace") as lines:
            return any(text in line for line in lines)

    def handed_off_to(self, name):
        """The leases of which its own log says that it passed them on to this worker."""
        passed = re.compile(rf"hand-off finished lease=(\S+) to={re.escape(name)} ")
        with open(self.log, encoding="utf-8", errors="replace") as lines:
            return {found[1] for line in lines if (found := passed.search(line))}


class Java(Worker):
    # The JVM's own status after SIGTERM.
    CLEAN = (0, 143, -signal.SIGTERM)

    def __init__(self, name, fleet, max_leases=None):
        base = os.path.join(fleet.logs, name)
        self.kcl = fleet.kcl
        self.events = JavaEvents(name, f"{base}.events", fleet.handled)
        command = [
            "java", "-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            # The KCL asks the metadata services of EC2 and ECS where it runs. Nothing leaves loopback here.
            "-Dhttp.proxyHost=127.0.0.1", "-Dhttp.proxyPort=9", "-Dhttp.nonProxyHosts=localhost|127.*",
            "-cp", os.path.join(install.jars_of(fleet.kcl), "*"), "software.amazon.kinesis.multilang.MultiLangDaemon",
            "--properties-file", self.properties(f"{base}.properties", name, fleet, max_leases),
            "--log-configuration", os.path.join(HERE, "logback.xml"),
        ]  # fmt: skip
        environment = dict(fleet.environment, INTEROP_EVENTS=f"{base}.events")
        with open(f"{base}.log", "wb") as out:
            process = work.start(command, out, environment)
        super().__init__(name, process, f"{base}.log")

    @staticmethod
    def properties(path, name, fleet, max_leases):
        old = fleet.kcl == "kcl2"
        endpoint = fleet.environment["AWS_ENDPOINT_URL"]
        values = {
            "executableName": f"{sys.executable} {os.path.join(work.CLIENTS, 'kcl', 'processor.py')}",
            "applicationName": fleet.name,
            "streamName": fleet.name,
            "workerId": name,
            "initialPositionInStream": "TRIM_HORIZON",
            "regionName": "us-east-1",
            # The two lines of the KCL name their providers after two lines of the SDK.
            **({"AWSCredentialsProvider": "EnvironmentVariableCredentialsProvider"} if old else {"AwsCredentialsProvider": "DefaultCredentialsProvider"}),
            "kinesisEndpoint": endpoint,
            "dynamoDBEndpoint": endpoint,
            "cloudWatchClient.endpointOverride": endpoint,
            "retrievalMode": "POLLING",
            "idleTimeBetweenReadsInMillis": 250,
            "failoverTimeMillis": FAILOVER * 1000,
            # Everything else that is a pause, short: the defaults take minutes.
            "shardSyncIntervalMillis": 1000,
            "parentShardPollIntervalMillis": 1000,
            "taskBackoffTimeMillis": 500,
            "metricsLevel": "NONE",
            "shutdownGraceMillis": 30000,
        }
        if old:
            # One at a time, each two failover times later, is the default.
            values["maxLeasesToStealAtOneTime"] = 4
        else:
            # How often workers publish their metrics stays as it is by default: the leader takes others for gone when theirs
            # are twice as old, and not all publish as often as it is told to.
            values["leaseAssignmentIntervalMillis"] = 2000
        if max_leases:
            values["maxLeasesForWorker"] = max_leases
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{key} = {value}\n" for key, value in values.items())
        return path

    def missing_start(self):
        return None if self.logged("Initialization complete. Starting worker loop.") else f"{self.name} is still starting"

    def drain(self):
        self.events.read()


class Rust(Worker):
    CLEAN = (0,)

    def __init__(self, name, fleet, max_leases=None):
        base = os.path.join(fleet.logs, name)
        self.metrics = free_address()
        command = [
            fleet.kclctl, "consume", "--endpoint", fleet.environment["AWS_ENDPOINT_URL"], "--stream", fleet.name, "--app", fleet.name,
            "--lease-table", f"dynamodb:{fleet.name}", "--worker-id", name, "--failover-time", f"{FAILOVER}s",
            "--checkpoint-interval", "1s", "--idle-time-at-tip", "250ms", "--shard-sync-interval", "1s",
            "--metrics", self.metrics, "--log", "info",
        ]  # fmt: skip
        if max_leases:
            command += ["--max-leases", str(max_leases)]
        with open(f"{base}.log", "wb") as out:
            process = work.start(command, subprocess.PIPE, fleet.environment, errors=out)
        super().__init__(name, process, f"{base}.log")
        self.lines = RustLines(name, process.stdout, f"{base}.handled", fleet.handled)

    def missing_start(self):
        """It has started when it has looked at the lease table once. Its metrics tell."""
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=20) as answer:
                if "kcl_store_operations_total" in answer.read().decode():
                    return None
        return f"{self.name} is still starting"

    def drain(self):
        self.lines.join(timeout=30)


def free_address():
    """`kclctl` does not tell which port it got, and so is told one that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"
