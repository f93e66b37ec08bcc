"""Where things are, and how commands are run: always with a time limit, never past loopback but to install."""

import os
import signal
import subprocess
import time

INTEROP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROJECT = os.path.dirname(os.path.dirname(INTEROP))
CACHE = os.path.join(INTEROP, ".cache")
CLIENTS = os.path.join(INTEROP, "clients")

# Java wants one. There is nothing to protect: what is in the store is public.
STORE_PASSWORD = "changeit"

# What a client may inherit. The rest, proxies and the AWS settings of the person at the keyboard above all, stays out.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "JAVA_HOME", "SYSTEMROOT")


def fresh_logs():
    """A new directory for the logs of this run. The last one is also found as `.cache/logs/latest`."""
    base = os.path.join(CACHE, "logs")
    logs = os.path.join(base, time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}")
    os.makedirs(logs)
    latest = os.path.join(base, "latest")
    # Made aside and moved there, since two runs may begin at a time.
    fresh = f"{logs}.latest"
    os.symlink(os.path.basename(logs), fresh)
    os.replace(fresh, latest)
    return logs


def client_environment(served):
    """What a client finds: the broker as the endpoint of every AWS service, and credentials that mean nothing."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment.update(
        AWS_ENDPOINT_URL=served.endpoint,
        AWS_ACCESS_KEY_ID="AKIAINTEROP",
        AWS_SECRET_ACCESS_KEY="interop",
        AWS_REGION="us-east-1",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        NO_PROXY="127.0.0.1,localhost",
        PYTHONUNBUFFERED="1",
        PYTHONDONTWRITEBYTECODE="1",
    )
    if served.certificate:
        environment.update(AWS_CA_BUNDLE=served.certificate, NODE_EXTRA_CA_CERTS=served.certificate, SSL_CERT_FILE=served.certificate)
    if served.truststore:
        options = f"-Djavax.net.ssl.trustStore={served.truststore} -Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}"
        environment.update(JAVA_TOOL_OPTIONS=options)
    return environment


# What was started and has not ended, so that nothing outlives an interrupted run.
_live = set()
ending = False


def start(command, out, environment=None, cwd=None, errors=None):
    """Starts a command in a session of its own, so that what it starts in turn ends with it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors or out, cwd=cwd, env=environment, start_new_session=True)
    _live.add(process)
    if ending:
        stop_sessions([process])
    return process


def end_with_signals(last=lambda: None):
    """Lets SIGINT and SIGTERM end all that was started, and then this, after `last`."""

    def end(number, _frame):
        global ending
        ending = True
        stop_sessions(list(_live))
        last()
        # Not an exception: threads that wait for clients would first wait for them all.
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def run(command, log, limit, environment=None, cwd=None):
    """Runs a command with its output in a log. Returns its exit status, or None if it had to be stopped at the limit."""
    with open(log, "ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        process = start(command, out, environment, cwd)
        try:
            return process.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            stop_session(process)


def stop_session(process):
    """Ends a process and all that it started: politely, and after five seconds by force."""
    stop_sessions([process])


def stop_sessions(processes):
    """Ends several together, so that their five seconds do not add up."""
    _live.difference_update(processes)
    for sign, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        left = [process for process in processes if _signal_session(process, sign)]
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = [process for process in left if _signal_session(process, 0)]
        if not left:
            break


def _signal_session(process, sign):
    """Whether there was something to signal."""
    process.poll()
    try:
        os.killpg(process.pid, sign)
    except ProcessLookupError:
        return False
    return True
