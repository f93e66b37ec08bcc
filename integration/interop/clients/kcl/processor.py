"""The record processor that the MultiLangDaemon starts for each shard. It writes down all that it is told, one JSON line each.

Plain Python without packages. The protocol: one JSON object a line, each action answered with a status.
"""

import json
import os
import sys
import time

shard = "unknown"
log = None


def note(event, **more):
    entry = {"at": time.time(), "shard": shard, "event": event, **more}
    # One write each, so that the lines of many processes do not mix.
    os.write(log, (json.dumps(entry) + "\n").encode())


def send(message):
    sys.stdout.write("\n" + json.dumps(message) + "\n")
    sys.stdout.flush()


def receive():
    while True:
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        if line.strip():
            return json.loads(line)


def checkpoint():
    """Checkpoints all that was delivered. Returns the name of the error, or None."""
    for _ in range(5):
        send({"action": "checkpoint", "sequenceNumber": None, "subSequenceNumber": None})
        error = receive().get("error")
        if error != "ThrottlingException":
            return error
        time.sleep(0.5)
    return error


def main():
    global shard, log
    log = os.open(os.environ["INTEROP_EVENTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    while True:
        message = receive()
        action = message["action"]
        if action == "initialize":
            shard = message["shardId"]
            note(action, sequence=message["sequenceNumber"])
        elif action == "processRecords":
            for record in message["records"]:
                note("record", data=record["data"], sequence=record["sequenceNumber"], arrival=record["approximateArrivalTimestamp"])
            note("checkpoint", error=checkpoint())
        elif action in ("shardEnded", "shutdownRequested"):
            note(action)
            note("checkpoint", error=checkpoint())
        else:
            note(action)
        send({"action": "status", "responseFor": action})


main()
