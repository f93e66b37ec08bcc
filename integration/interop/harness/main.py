"""Runs real clients against one broker and prints a table of client x capability: ok, skip or FAIL."""

import argparse
import concurrent.futures
import os
import sys
import time

import broker
import clients
import report
import work


def arguments():
    parser = argparse.ArgumentParser(prog="integration/interop/run", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help="comma-separated clients; a prefix is enough: kcl means all four")
    parser.add_argument("--list", action="store_true", help="list the clients and what they need, and end")
    parser.add_argument("--jobs", type=int, default=4, help="so many clients at a time (default: 4)")
    parser.add_argument("--endpoint", metavar="URL", help="test a `kclctl broker` that runs already, instead of building and starting one")
    parser.add_argument("--tls", action="store_true", help="let the broker speak TLS with a certificate that it signs itself")
    parser.add_argument("--require", action="store_true", help="a client that is skipped is a failure too")
    return parser.parse_args()


def main():
    args = arguments()
    chosen = clients.choose(args.only)
    if args.list:
        for client in chosen:
            print(f"{client.name:14} {client.about}")
        return 0

    work.end_with_signals()
    logs = work.fresh_logs()
    started = time.monotonic()
    print(f"logs: {os.path.relpath(logs)}", flush=True)
    with broker.serving(args.endpoint, args.tls, logs) as served:
        print(f"broker: {served.endpoint}", flush=True)
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, args.jobs)) as pool:
            running = [pool.submit(client.run, served, logs) for client in chosen]
            for done in concurrent.futures.as_completed(running):
                outcome = done.result()
                print(f"{outcome.client:14} {outcome.summary()} ({outcome.seconds:.0f} s)", flush=True)
            outcomes = [future.result() for future in running]
        troubles = served.troubles(logs)
        if troubles:
            outcomes.append(report.outcome("broker", ("itself",), "FAIL", "; ".join(troubles)))

    print()
    print(report.table(outcomes))
    print(f"{time.monotonic() - started:.0f} s; logs: {os.path.relpath(logs)}")
    return 1 if report.failed(outcomes, args.require) else 0


if __name__ == "__main__":
    sys.exit(main())
