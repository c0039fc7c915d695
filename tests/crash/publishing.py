"""Producers that publish steadily through every fault, and enter in the ledger what was acknowledged and what may be.
Half of what was not acknowledged is published again under its id, as a careful producer does; the other half is left."""
import http.client
import json
import os
import queue
import random
import subprocess
import threading
import time

from endpoints import SOURCE, TENANTS, TYPES, data_of
from kit import BUILD
from ledger import Event


def structured(event):
    return json.dumps({"specversion": "1.0", "id": event.id, "source": SOURCE, "type": event.type,
                       "tenant": event.tenant, "datacontenttype": "application/json", "data": data_of(event.id)})


class Publishing:
    """Draws events at a steady rate. Subclasses bring them to the log."""

    def __init__(self, ledger, seed, per_second, prefix):
        self.ledger, self.per_second, self.prefix = ledger, per_second, prefix
        self.chance = random.Random(f"{seed}-events")
        self.waiting = queue.Queue(maxsize=200)  # a log that is down holds producers back
        self.stopping = threading.Event()
        self.count = 0
        self.threads = []

    def start(self):
        for work in [self.draw, *self.work()]:
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self.threads.append(thread)
        return self

    def draw(self):
        next_at = time.monotonic()
        while not self.stopping.is_set():
            self.count += 1
            event = Event(f"{self.prefix}-{self.count}", self.chance.choice(TENANTS), self.chance.choice(TYPES))
            self.offer(event)
            next_at = max(next_at + 1 / self.per_second, time.monotonic() - 1)
            self.stopping.wait(max(0, next_at - time.monotonic()))

    def offer(self, event):
        while not self.stopping.is_set():
            try:
                return self.waiting.put(event, timeout=0.2)
            except queue.Full:
                continue

    def take(self):
        try:
            return self.waiting.get(timeout=0.1)
        except queue.Empty:
            return None

    def not_acknowledged(self, event):
        if event.tries < 5 and self.chance.random() < 0.5 and not self.stopping.is_set():
            try:
                self.waiting.put_nowait(event)
            except queue.Full:
                pass

    def stop(self):
        """Nothing more is published; what was begun is answered or not by then."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)


class OverHttp(Publishing):
    """To the daemon's own API: it is down whenever the daemon is."""

    def __init__(self, ledger, seed, per_second, prefix, daemon):
        super().__init__(ledger, seed, per_second, prefix)
        self.daemon = daemon

    def work(self):
        return [self.post] * 3

    def post(self):
        connection = None
        while not self.stopping.is_set():
            connection = connection or self.connected()
            if connection is None:
                time.sleep(0.05)
                continue
            event = self.take()
            if event is None:
                continue
            self.ledger.tried(event)
            try:
                connection.request("POST", "/v1/events", structured(event), self.headers())
                answer = connection.getresponse()
                body = json.loads(answer.read())
                if answer.status == 202:
                    self.ledger.acknowledged(event.id, body)
                else:
                    self.not_acknowledged(event)
                    time.sleep(0.05)
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                connection = None
                self.not_acknowledged(event)

    def connected(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=30)
        try:
            connection.connect()
            return connection
        except OSError:
            return None

    def headers(self):
        return {"content-type": "application/cloudevents+json", "authorization": f"Bearer {self.daemon.token()}"}


class ToKafka(Publishing):
    """Through postrider-publish, which says each acknowledgement on a line of its own."""

    def __init__(self, ledger, seed, per_second, prefix, log, environment):
        super().__init__(ledger, seed, per_second, prefix)
        self.command = ["setpriv", "--pdeathsig", "KILL", BUILD / "postrider-publish", "--to", log,
                        "--environment", environment, "--json", "--file", "-"]

    def work(self):
        return [self.feed]

    def feed(self):
        while not self.stopping.is_set():
            self.feed_one_process()

    def feed_one_process(self):
        process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True, start_new_session=True)
        under_way = {}
        reader = threading.Thread(target=self.read, args=(process.stdout, under_way), daemon=True)
        reader.start()
        try:
            while not self.stopping.is_set() and process.poll() is None:
                if event := self.take():
                    under_way[event.id] = event
                    self.ledger.tried(event)
                    process.stdin.write(structured(event) + "\n")
                    process.stdin.flush()
            process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            process.wait(60)  # it flushes, or gives up after its own 30 s
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(10)
        for event in under_way.values():
            self.not_acknowledged(event)

    def read(self, lines, under_way):
        for line in lines:
            said = json.loads(line)
            self.ledger.acknowledged(said["id"], said)
            under_way.pop(said["id"], None)
