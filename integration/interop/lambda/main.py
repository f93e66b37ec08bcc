"""Runs unmodified Lambda functions in processes, and prints a table of function x capability: ok, skip or FAIL."""

import argparse
import base64
import json
import os
import shutil
import subprocess
import sys

import stream

HERE = os.path.dirname(os.path.abspath(__file__))
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(PROJECT, "target"))
HOME = os.path.join(TARGET, "interop-lambda")
FUNCTIONS = os.path.join(HERE, "functions")
# Nothing here takes that long; what does is stopped, and has failed.
LIMIT_S = 120
PATIENT_MS, IMPATIENT_MS = 60_000, 1_000


class Broken(Exception):
    """A function did not do what it should have."""


def check(holds, said):
    if not holds:
        raise Broken(json.dumps(said)[:300])


def number(place):
    return f"4965000000000000000000000000000000000000000000000000{place:04}"


def event(*whats):
    """An event with one record for each word, in the shape in which Lambda gives it."""
    arn = "arn:aws:kinesis:eu-west-1:111122223333:stream/telemetry"
    shard = "shardId-000000000003"
    return {"Records": [{
        "kinesis": {
            "kinesisSchemaVersion": "1.0", "partitionKey": "key", "sequenceNumber": number(place),
            "data": base64.b64encode(what.encode()).decode(), "approximateArrivalTimestamp": 1763700000.125,
        },
        "eventSource": "aws:kinesis", "eventVersion": "1.0", "eventID": f"{shard}:{number(place)}",
        "eventName": "aws:kinesis:record", "invokeIdentityArn": "arn:aws:iam::111122223333:role/esm",
        "awsRegion": "eu-west-1", "eventSourceARN": arn,
    } for place, what in enumerate(whats)]}


class Driver:
    """The pool of one function's processes: `kcl-lambda`'s example `drive`."""

    def __init__(self, command, log):
        self.log = open(log, "w+")
        self.process = subprocess.Popen(
            [os.path.join(TARGET, "debug", "examples", "drive"), *command], cwd=FUNCTIONS, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env={**os.environ, "TZ": "UTC"})
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Broken("the driver does not end") from None
        finally:
            self.log.close()

    def invoke(self, event, timeout_ms=PATIENT_MS):
        self.process.stdin.write(json.dumps({"event": event, "timeout_ms": timeout_ms}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Broken("the driver ended: see its log")
        answer = json.loads(line)
        self.processes = answer["processes"]
        return answer["said"]

    def printed(self):
        self.log.flush()
        with open(self.log.name) as log:
            return log.read()


def success(driver, _):
    said = driver.invoke(event("fine", "fine"))
    check(said == {"answer": {"batchItemFailures": []}}, said)


def partial(driver, _):
    said = driver.invoke(event("fine", "bad", "fine", "bad"))
    failed = [{"itemIdentifier": number(1)}, {"itemIdentifier": number(3)}]
    check(said == {"answer": {"batchItemFailures": failed}}, said)


def all_bad(driver, function):
    said = driver.invoke(event("bad", "bad"))
    if function["raises_if_all_failed"]:
        check(said.get("error") == "BatchProcessingError", said)
    else:
        check(len(said.get("answer", {}).get("batchItemFailures", [])) == 2, said)


def throw(driver, function):
    driver.invoke(event("fine"))
    before = driver.processes
    said = driver.invoke(event("throw"))
    check(said.get("kind") == "Unhandled" and "it is bad" in said["message"], said)
    check(function["error"] in said["error"], said)
    check(said["stack"] > 0 or not function["stacks"], said)
    success(driver, function)
    check(driver.processes == before and len(before) == 1, [before, driver.processes])


def crash(driver, function):
    said = driver.invoke(event("fine", "crash"))
    check(said.get("error") == "Runtime.ExitError" and said["kind"] == "Exited", said)
    check(said["message"].endswith("Runtime exited with error: exit status 7"), said)
    success(driver, function)


def timeout(driver, function):
    driver.invoke(event("fine"))
    before = driver.processes
    said = driver.invoke(event("hang"), IMPATIENT_MS)
    check(said.get("error") == "Sandbox.Timedout" and said["kind"] == "Timeout", said)
    check(said["message"].endswith("Task timed out after 1.00 seconds"), said)
    success(driver, function)
    check(driver.processes != before, "the process that hung lives on")


def large(driver, function):
    if not function["large"]:
        return "it has no such answer"
    said = driver.invoke(event("large"))
    check(said.get("error") == "Function.ResponseSizeTooLarge", said)
    # Python's client ends itself when an answer is refused; others go on. The next invocation must not notice.
    success(driver, function)


def output(driver, _):
    driver.invoke(event("print"))
    # What Python prints is flushed with the answer, Node's and Rust's at once.
    check("hello from the function" in driver.printed(), "it printed nothing")


def no_handler(_, function):
    if function["no_handler"] is None:
        return "a binary has its handler within"
    with Driver(function["no_handler"], os.path.join(HOME, "no-handler.log")) as driver:
        said = driver.invoke(event("fine"))
        check("Runtime.ImportModuleError" in said.get("not_invoked", ""), said)


def on_a_stream(_, function):
    stream.on_a_stream(os.path.join(TARGET, "debug", "kclctl"), function["command"], FUNCTIONS, check)


CAPABILITIES = {
    "success": success, "partial": partial, "all-bad": all_bad, "throw": throw, "crash": crash, "timeout": timeout,
    "large": large, "output": output, "no-handler": no_handler, "stream": on_a_stream,
}


def python():
    """A virtual environment with Lambda's client and Powertools, from PyPI."""
    venv = os.path.join(HOME, "venv")
    interpreter = os.path.join(venv, "bin", "python")
    pins = os.path.join(HERE, "requirements.txt")
    stamp = os.path.join(venv, "installed")
    with open(pins) as file:
        wanted = file.read()
    if not os.path.exists(stamp) or open(stamp).read() != wanted:
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "-r", pins], check=True)
        with open(stamp, "w") as file:
            file.write(wanted)
    return {
        "command": [interpreter, "-m", "awslambdaric", "records.handler"],
        "no_handler": [interpreter, "-m", "awslambdaric", "missing.handler"],
        "raises_if_all_failed": True, "error": "RuntimeError", "stacks": True, "large": True,
    }


def node():
    if not shutil.which("node"):
        return "node is not installed"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 18:
        return f"the runtime needs Node.js 18 or later, and {version} is installed"
    return {
        "command": ["node", "runtime.mjs", "records.handler"],
        "no_handler": ["node", "runtime.mjs", "missing.handler"],
        "raises_if_all_failed": False, "error": "RangeError", "stacks": True, "large": True,
    }


def rust():
    return {
        "command": [os.path.join(TARGET, "debug", "examples", "records_function")],
        "no_handler": None, "raises_if_all_failed": False, "error": "Error", "stacks": False, "large": False,
    }


FUNCTIONS_OF = {"python": python, "node": node, "rust": rust}


def build():
    command = ["cargo", "build", "--quiet", "--package", "kcl-lambda", "--features", "lambda-runtime-1",
               "--example", "drive", "--example", "records_function"]
    subprocess.run(command, cwd=PROJECT, check=True)
    subprocess.run(["cargo", "build", "--quiet", "--package", "kclctl"], cwd=PROJECT, check=True)


def attempt(capability, driver, function):
    try:
        skipped = CAPABILITIES[capability](driver, function)
        return ("skip", skipped) if skipped else ("ok", "")
    except (Broken, subprocess.TimeoutExpired) as broken:
        return "FAIL", str(broken)


def main():
    parser = argparse.ArgumentParser(prog="integration/interop/lambda/run", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help=f"comma-separated: {', '.join(FUNCTIONS_OF)}")
    parser.add_argument("--no-build", action="store_true", help="the examples of kcl-lambda and kclctl are built already")
    parser.add_argument("--require", action="store_true", help="a runtime that is missing is a failure")
    options = parser.parse_args()
    os.makedirs(HOME, exist_ok=True)
    if not options.no_build:
        build()
    names = options.only.split(",") if options.only else list(FUNCTIONS_OF)
    failed = False
    print("function".ljust(10), *(capability.ljust(10) for capability in CAPABILITIES))
    notes = []
    for name in names:
        function = FUNCTIONS_OF[name]()
        if isinstance(function, str):
            print(name.ljust(10), "skip")
            notes.append(f"{name}: skip: {function}")
            failed |= options.require
            continue
        results = []
        with Driver(function["command"], os.path.join(HOME, f"{name}.log")) as driver:
            for capability in CAPABILITIES:
                result, why = attempt(capability, driver, function)
                results.append(result)
                if why:
                    notes.append(f"{name}: {capability}: {result}: {why}")
                failed |= result == "FAIL"
        print(name.ljust(10), *(result.ljust(10) for result in results))
    print(*notes, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
