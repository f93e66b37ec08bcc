"""Lets workers of Java KCL and of this project share one lease table, and judges what becomes of leases and records."""

import argparse
import concurrent.futures
import contextlib
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(1, os.path.join(os.path.dirname(HERE), "harness"))

import broker  # noqa: E402
import install  # noqa: E402
import work  # noqa: E402

INSTALLED = "FLEET_INSTALLED"


def arguments():
    parser = argparse.ArgumentParser(prog="integration/interop/fleet", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help="comma-separated scenarios; a prefix is enough: takeover means both")
    parser.add_argument("--kcl", metavar="VERSIONS", default="kcl3,kcl2", help="kcl3, kcl2 or both (default)")
    parser.add_argument("--jobs", type=int, default=4, help="so many fleets at a time (default: 4)")
    parser.add_argument("--kclctl", metavar="PATH", help="use this kclctl, for the broker and the workers, instead of building it")
    parser.add_argument("--list", action="store_true", help="list the scenarios, and end")
    return parser.parse_args()


def with_packages(kcls):
    """Installs what is missing, and goes on under the Python that has boto3."""
    logs = work.fresh_logs()
    for need in (install.java, install.venv, *(lambda logs, name=name: install.jars(name, logs) for name in kcls)):
        reason = need(logs)
        if reason:
            raise SystemExit(f"fleet: SKIP: {reason}")
    os.environ[INSTALLED] = logs
    python = install.python_of_venv()
    os.execv(python, [python, "-B", os.path.join(HERE, "main.py"), *sys.argv[1:]])


def chosen(text, names, what):
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in wanted if not any(known.startswith(name) for known in names)]
    if unknown:
        raise SystemExit(f"no {what} is called {', '.join(unknown)}; there are {', '.join(names)}")
    return [known for known in names if any(known.startswith(name) for name in wanted)]


def main():
    args = arguments()
    kcls = chosen(args.kcl, ("kcl3", "kcl2"), "KCL")
    logs = os.environ.get(INSTALLED)
    if not logs:
        with_packages(kcls)

    import scenarios

    names = chosen(args.only, scenarios.NAMES, "scenario") if args.only else list(scenarios.NAMES)
    if args.list:
        print("\n".join(names))
        return 0
    runs = [(kcl, *run) for run in scenarios.RUNS for kcl in kcls if set(run[1]) & set(names)]

    # A copy, since others may build another one meanwhile.
    kclctl = os.path.join(logs, "kclctl")

    def remove_copy():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(kclctl)

    work.end_with_signals(remove_copy)
    started = time.monotonic()
    print(f"logs: {os.path.relpath(logs)}", flush=True)
    shutil.copy(args.kclctl or broker.build(logs), kclctl)
    results = {}
    try:
        with broker.serving(None, False, logs, kclctl) as served:
            print(f"broker: {served.endpoint}", flush=True)
            with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, args.jobs)) as pool:
                running = {pool.submit(scenarios.run, *run, served, kclctl, logs): run for run in runs}
                for done in concurrent.futures.as_completed(running):
                    kcl = running[done][0]
                    for name, result in done.result().items():
                        if name in names:
                            results[kcl, name] = result
                            print(f"{result.word:4} {kcl} {name}: {result.detail}", flush=True)
            troubles = served.troubles(logs)
    finally:
        remove_copy()

    print()
    print(table(names, kcls, results))
    for trouble in troubles:
        print(f"FAIL broker: {trouble}")
    print(f"{time.monotonic() - started:.0f} s; logs: {os.path.relpath(logs)}")
    return 1 if troubles or any(result.word != "ok" for result in results.values()) else 0


def table(names, kcls, results):
    width = max(len(name) for name in ("scenario", *names))
    lines = ["  ".join(["scenario".ljust(width), *(kcl.rjust(4) for kcl in kcls)])]
    lines += ["  ".join([name.ljust(width), *(results[kcl, name].word.rjust(4) for kcl in kcls)]) for name in names]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
