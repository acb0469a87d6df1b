"""The jobs of the benchmark in Bytewax, to compare with: its own Kafka connector and one worker, at least once.

Bytewax's Kafka sink writes no transactions, so exactly once is not supported: the exit code is 2.

What is tuned, and why:

- Batches: the source takes up to 10,000 records at a time, and flat_map_batch parses them in one call. It hands on one item per batch,
  since each item that goes from one operator to the next costs.
- stateful_batch with one key for the windows, in place of the operators of bytewax.operators.windowing: those call Python for each record,
  follow one watermark per key, not per partition (a url that has no click after a window would keep it open), and drop what a
  partition that lags behind still has.
- msgspec with a type that names two fields: it decodes those alone, and skips the others.
- Recovery is on, with a snapshot each second and no backup interval, so that the peer has a guarantee to give.
- librdkafka: fetches up to 8 MiB of a partition, holds up to 1,000,000 records, never waits for a second because it holds enough; makes
  batches of 256 KiB and no statistics.
- Python's cycle collector runs rarely: nothing here makes cycles.
"""

import argparse
import gc
import sys
from collections import Counter
from datetime import timedelta

import msgspec
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

WINDOW_MS = 60_000
DISORDER_MS = 1_000
STATUS_OK = 200
SECOND = timedelta(seconds=1)
BATCH = 10_000

encode = msgspec.json.encode


class Click(msgspec.Struct, gc=False):
    """What filter-map looks at."""

    event_time: int
    user_id: str
    url: str
    status: int


class Row(msgspec.Struct, gc=False):
    """What filter-map writes."""

    event_time: int
    user_id: str
    url: str


class UserClick(msgspec.Struct, gc=False):
    """What headline looks at."""

    event_time: int
    user_id: str


class UrlClick(msgspec.Struct, gc=False):
    """What keyed looks at."""

    event_time: int
    url: str


def identity(batch):
    return [KafkaSinkMessage(None, message.value) for message in batch]


def filter_map():
    decode = msgspec.json.Decoder(Click).decode

    def mapper(batch):
        rows = []
        for message in batch:
            click = decode(message.value)
            if click.status == STATUS_OK:
                row = Row(click.event_time, click.user_id, click.url)
                rows.append(KafkaSinkMessage(None, encode(row)))
        return rows

    return mapper


class Visitors:
    """Windows that hold sets of users."""

    new = set
    click = UserClick

    @staticmethod
    def add(held, click):
        held.add(click.user_id)

    @staticmethod
    def merge(held, more):
        held |= more

    @staticmethod
    def rows(window, held):
        return [{"window_start_ms": window, "unique_visitors": len(held)}]


class Counts:
    """Windows that hold a count for each url."""

    new = Counter
    click = UrlClick

    @staticmethod
    def add(held, click):
        held[click.url] += 1

    @staticmethod
    def merge(held, more):
        for url, count in more.items():
            held[url] += count

    @staticmethod
    def rows(window, held):
        return [
            {"window_start_ms": window, "url": url, "count": count}
            for url, count in held.items()
        ]


def gather(kind):
    """Makes one item of a batch: how far each partition is, and what falls into each window."""
    decode = msgspec.json.Decoder(kind.click).decode
    new, add = kind.new, kind.add

    def mapper(batch):
        highest, windows = {}, {}
        for message in batch:
            click = decode(message.value)
            time = click.event_time
            if time > highest.get(message.partition, -1):
                highest[message.partition] = time
            window = time - time % WINDOW_MS
            held = windows.get(window)
            if held is None:
                held = windows[window] = new()
            add(held, click)
        return [("all", (highest, windows))] if batch else []

    return mapper


class Windows(StatefulBatchLogic):
    """The open windows, and the highest event time of each partition."""

    def __init__(self, kind, partitions, resumed):
        self.kind = kind
        self.partitions = partitions
        self.highest, self.open = resumed if resumed is not None else ({}, {})

    def on_batch(self, values):
        for highest, windows in values:
            for partition, time in highest.items():
                if time > self.highest.get(partition, -1):
                    self.highest[partition] = time
            for window, held in windows.items():
                if window in self.open:
                    self.kind.merge(self.open[window], held)
                else:
                    self.open[window] = held
        rows = []
        if len(self.highest) == self.partitions:
            watermark = min(self.highest.values()) - DISORDER_MS
            for window in sorted(self.open):
                if window + WINDOW_MS > watermark:
                    break
                rows += self.kind.rows(window, self.open.pop(window))
        return rows, StatefulBatchLogic.RETAIN

    def snapshot(self):
        return dict(self.highest), {
            window: held.copy() for window, held in self.open.items()
        }


def windowed(clicks, kind, partitions):
    gathered = op.flat_map_batch("gather", clicks, gather(kind))
    rows = op.stateful_batch(
        "windows", gathered, lambda resumed: Windows(kind, partitions, resumed)
    )
    return op.map(
        "row", op.key_rm("unkey", rows), lambda row: KafkaSinkMessage(None, encode(row))
    )


def dataflow(args):
    flow = Dataflow("peer")
    clicks = op.input(
        "clicks",
        flow,
        KafkaSource(
            [args.bootstrap],
            [args.source],
            batch_size=BATCH,
            add_config={
                "max.partition.fetch.bytes": 8 << 20,
                "queued.min.messages": 1_000_000,
                "fetch.queue.backoff.ms": 10,
                "statistics.interval.ms": 0,
            },
        ),
    )
    if args.job == "identity":
        rows = op.flat_map_batch("rows", clicks, identity)
    elif args.job == "filter-map":
        rows = op.flat_map_batch("rows", clicks, filter_map())
    elif args.job == "headline":
        rows = windowed(clicks, Visitors, args.partitions)
    elif args.job == "keyed":
        rows = windowed(clicks, Counts, args.partitions)
    else:
        sys.exit(f"no such job: {args.job}")
    op.output(
        "out",
        rows,
        KafkaSink(
            [args.bootstrap],
            args.sink,
            add_config={"linger.ms": 5, "batch.size": 256 << 10},
        ),
    )
    return flow


def main():
    parser = argparse.ArgumentParser()
    for name in ["bootstrap", "source", "sink", "job", "guarantee", "state"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--partitions", required=True, type=int)
    args = parser.parse_args()
    if args.guarantee != "at-least-once":
        print("Bytewax's Kafka sink knows at-least-once alone", file=sys.stderr)
        sys.exit(2)
    gc.set_threshold(200_000, 50, 50)
    init_db_dir(args.state, 1)
    cli_main(
        dataflow(args),
        workers_per_process=1,
        epoch_interval=SECOND,
        recovery_config=RecoveryConfig(args.state),
    )
    sys.exit("the dataflow has ended, though its source has no end")


if __name__ == "__main__":
    main()
