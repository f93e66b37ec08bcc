"""A function as its users write it: Powertools calls the handler of one record, and names those that failed."""

import os
import time

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

processor = BatchProcessor(event_type=EventType.KinesisDataStreams)


def handle(record):
    what = record.kinesis.data_as_text()
    if what == "bad":
        raise ValueError("it is bad")
    if what == "crash":
        os._exit(7)
    if what == "hang":
        time.sleep(1000)
    if what == "print":
        print("hello from the function")


def handler(event, context):
    if any(record["kinesis"]["data"] == "dGhyb3c=" for record in event["Records"]):
        raise RuntimeError("it is bad")
    if any(record["kinesis"]["data"] == "bGFyZ2U=" for record in event["Records"]):
        return "x" * (7 << 20)
    return process_partial_response(event=event, record_handler=handle, processor=processor, context=context)
