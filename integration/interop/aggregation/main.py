"""Installs AWS's library, builds the example that reads and writes aggregates, and compares the two."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "harness"))

import install  # noqa: E402
import work  # noqa: E402

logs = os.path.join(work.CACHE, "logs", "aggregates")
os.makedirs(logs, exist_ok=True)
missing = install.venv(logs)
if missing:
    print(f"aggregates: SKIP: {missing}", file=sys.stderr)
    sys.exit(2)
root = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
subprocess.run(["cargo", "build", "--quiet", "-p", "kcl-core", "--example", "aggregates"], cwd=root, check=True)
target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
example = os.path.join(target, "debug", "examples", "aggregates")
program = [install.python_of_venv(), "-B", os.path.join(HERE, "compare.py"), example, *sys.argv[1:]]
sys.exit(subprocess.run(program).returncode)
