"""One application: a stream, its lease table, its workers, and what is true of it whatever the scenario."""

import os
import threading
import time

import boto3
import botocore.config

import logs as worker_logs
import work
from failed import Failed
from leases import Watch
from records import Handled, Producer
from workers import Java, Rust

CONFIG = botocore.config.Config(retries={"max_attempts": 2}, connect_timeout=5, read_timeout=20)
LOOK_EVERY = 0.1
# boto3 makes clients from one session, which is not safe to use from several threads.
_making = threading.Lock()


class Fleet:
    def __init__(self, kcl, scenario, served, kclctl, logs, shards=8):
        self.kcl = kcl
        self.name = f"{kcl}-{scenario}-{os.getpid()}"
        self.kclctl = kclctl
        self.logs = os.path.join(logs, f"{kcl}-{scenario}")
        os.makedirs(self.logs)
        self.environment = work.client_environment(served)
        self.kinesis, self.dynamodb = (self.client(service) for service in ("kinesis", "dynamodb"))
        self.workers = []
        self.handled = Handled()
        self.watch = Watch(self.client("dynamodb"), self.name, kcl, os.path.join(self.logs, "leases.txt"))
        self.producer = Producer(self.client("kinesis"), self.name)
        self.shards = shards

    def client(self, service):
        with _making:
            return boto3.client(
                service, config=CONFIG, endpoint_url=self.environment["AWS_ENDPOINT_URL"], region_name=self.environment["AWS_REGION"],
                aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"], aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            )  # fmt: skip

    def __enter__(self):
        self.kinesis.create_stream(StreamName=self.name, ShardCount=self.shards)
        self.stream_active()
        self.watch.start()
        self.producer.start()
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.asked_to_end = True
        work.stop_sessions([worker.process for worker in self.workers])
        for thread in (self.producer, self.watch):
            if thread.ident:
                thread.end()

    def stream_active(self):
        def missing():
            status = self.kinesis.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]["StreamStatus"]
            return None if status == "ACTIVE" else f"it is {status}"

        self.until("the stream is ACTIVE", 30, missing)

    def start(self, kind, name, **options):
        """Starts a worker and waits until it takes part."""
        worker = kind(name, self, **options)
        self.workers.append(worker)
        # The first worker of Java on an empty table waits up to half a minute, so that many do not fill it at once.
        self.until(f"{name} takes part", 90, worker.missing_start)
        return worker

    def java(self, name, **options):
        return self.start(Java, name, **options)

    def rust(self, name, **options):
        return self.start(Rust, name, **options)

    def until(self, what, limit, missing):
        """Looks until nothing is missing; returns after how many seconds. `missing` tells what is, in words."""
        began = time.monotonic()
        while True:
            # The verdict is about a moment after the limit, never before it.
            late = time.monotonic() - began > limit
            lack = missing()
            if not lack:
                return time.monotonic() - began
            ended = [text for text in (worker.gone() for worker in self.workers) if text]
            trouble = next((thread.trouble for thread in (self.watch, self.producer) if thread.trouble), None)
            if trouble:
                raise trouble
            if ended or late:
                raise Failed(f"{'; '.join(ended) + ' while waiting' if ended else 'not within ' + str(limit) + ' s'}: {what}: {lack}")
            time.sleep(LOOK_EVERY)

    def all_held_by(self, worker, limit):
        def missing():
            return None if self.watch.rows() and len(self.watch.held(worker.name)) == len(self.watch.open_rows()) else self.watch.told_shares()

        return self.until(f"{worker.name} holds all leases", limit, missing)

    def rows_now(self):
        """The open leases as they are, not as they were at the last look."""
        self.watch.look()
        return self.watch.open_rows()

    def read_all(self):
        for worker in self.workers:
            if isinstance(worker, Java):
                worker.events.read()

    def everything_handled(self, limit=45):
        """Ends the flow of records, and waits until each was handled by someone."""
        self.producer.end()

        def missing():
            self.read_all()
            lost = sorted(set(self.producer.sent) - self.handled.ids())
            return f"{len(lost)} of {len(self.producer.sent)} are not, the first {lost[:3]}; {self.watch.told_shares()}" if lost else None

        return self.until("every record put is handled", limit, missing)

    def still_true(self):
        """What no scenario may end with, and what is worth a note."""
        found, notes = [], []
        try:
            self.everything_handled()
        except Failed as failed:
            found.append(str(failed))
        if self.watch.back:
            found.append(f"{len(self.watch.back)} checkpoints went back, the first: {self.watch.back[0]}")
        wrong = self.handled.lineage(self.watch.parents)
        if wrong:
            found.append(wrong)
        for worker in self.workers:
            lines, excused = worker_logs.java(worker.log) if isinstance(worker, Java) else (worker_logs.rust(worker.log), [])
            if lines:
                found.append(f"{os.path.basename(worker.log)} has {len(lines)} errors about leases, the first: {lines[0]}")
            notes += [f"{worker.name}: {text}" for text in excused]
        return found, notes
