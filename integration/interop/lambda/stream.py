"""A function on a stream, by `kclctl lambda run`: the whole way from a record to a checkpoint or a dead letter."""

import json
import os
import subprocess
import tempfile

# The broker's address comes at once, and a run ends when it was idle; what takes longer hangs.
LIMIT_S = 120
WORDS = ["fine", "bad", "print", "fine", "throw", "fine", "crash", "fine", "hang", "print"]
GIVEN_UP = ["bad", "throw", "crash", "hang"]
MAPPING = {
    "BatchSize": 5,
    "BisectBatchOnFunctionError": True,
    "MaximumRetryAttempts": 1,
    "FunctionResponseTypes": ["ReportBatchItemFailures"],
    "FilterCriteria": {"Filters": [{"Pattern": json.dumps({"partitionKey": [{"prefix": "key"}]})}]},
}


class Stream:
    """A broker of `kclctl`, and one stream."""

    def __init__(self, kclctl):
        self.kclctl = kclctl
        self.broker = subprocess.Popen([kclctl, "broker", "--listen", "127.0.0.1:0"], text=True, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL)
        line = self.broker.stdout.readline()
        self.endpoint = line.split()[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.broker.terminate()
        self.broker.wait(LIMIT_S)

    def run(self, *arguments, given=None, cwd=None):
        environment = {**os.environ, "KCL_ENDPOINT": self.endpoint, "TZ": "UTC"}
        done = subprocess.run([self.kclctl, *arguments], input=given, capture_output=True, text=True, cwd=cwd,
                              env=environment, timeout=LIMIT_S)
        return done.returncode, done.stdout, done.stderr


def on_a_stream(kclctl, command, functions, check):
    """Runs the function on words, of which four cannot be handled, and on one that the filter leaves out."""
    with Stream(kclctl) as stream, tempfile.TemporaryDirectory() as directory:
        letters, mapping = os.path.join(directory, "letters.db"), os.path.join(directory, "mapping.json")
        extensions = {"DeadLetters": f"sqlite:{letters}", "FilterByMetadata": True}
        with open(mapping, "w") as file:
            json.dump({**MAPPING, "KclExtensions": extensions}, file)
        for arguments, words in [(["--key", "key"], WORDS), (["--key", "other"], ["crash"])]:
            code, _, said = stream.run("stream", "create", "words", "--shards", "1")
            code, _, said = stream.run("put", "--stream", "words", *arguments, given="".join(f"{word}\n" for word in words))
            check(code == 0, said)
        code, _, said = stream.run(
            "lambda", "run", "--stream", "words", "--app", "interop", "--config", mapping, "--timeout", "2s",
            "--until-idle", "8s", "--", *command, cwd=functions)
        check(code == 0, said[-300:])
        check(said.count("hello from the function") >= 2, "not all words were handled")
        code, listed, said = stream.run("dlq", "list", "--json", "--store", letters)
        check(code == 0, said)
        given_up = []
        for letter in json.loads(listed)["letters"]:
            code, shown, said = stream.run("dlq", "show", str(letter["letter"]), "--store", letters)
            check(code == 0, said)
            given_up += [record["data"] for record in json.loads(shown)["content"]]
        check(given_up == GIVEN_UP, given_up)
