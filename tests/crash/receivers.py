"""Customers' receivers: TLS, one event loop, every arrival kept. A host can answer, hang, reset, or be closed and come
back on its port."""
import asyncio
import collections
import json
import ssl
import time

from endpoints import data_of
from kit import free_port, is_signed

ANSWERS, HANGS, RESETS, FAILS = "answers", "hangs", "resets", "fails"


class Arrival:
    __slots__ = ("event", "tenant", "endpoint", "n", "began", "ended", "status", "sender", "webhook_id", "signed",
                 "skew", "intact")

    def row(self):
        return {name: getattr(self, name) for name in self.__slots__}


class Records:
    """What arrived, in order. Written by the event loop's thread alone; readers take a copy."""

    def __init__(self):
        self.arrivals = []
        self.counts = collections.Counter()
        self.accepted = set()  # (event, tenant, endpoint)

    def copy(self):
        return list(self.arrivals)


class Host:
    def __init__(self, reactor, authority, number, endpoints, records):
        self.reactor, self.number, self.records = reactor, number, records
        self.endpoints = {one.key: one for one in endpoints if one.host == number}
        self.failing = set()  # keys of endpoints that answer 503 to everything for a while
        self.state, self.mended = ANSWERS, False
        self.port = free_port()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(authority.cert, authority.key)
        self.server, self.writers = None, set()
        self.open()

    def open(self):
        self.reactor.run(self.listen())

    def close(self):
        self.reactor.run(self.end())

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, "0.0.0.0", self.port, ssl=self.context, backlog=512)

    async def end(self):
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                began = time.monotonic()
                path, headers = parsed(head)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                arrival = self.note(path, headers, body, began, writer.get_extra_info("sockname")[0])
                if not await self.answer(arrival, reader, writer):
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ssl.SSLError):
            pass
        finally:
            self.writers.discard(writer)
            writer.transport.abort()

    def note(self, path, headers, body, began, sender):
        arrival = Arrival()
        arrival.tenant, arrival.endpoint = path.strip("/").split("/")
        arrival.event = headers.get("ce-id", "")
        arrival.webhook_id = headers.get("webhook-id", "")
        arrival.began, arrival.ended, arrival.status, arrival.sender = began, None, None, sender
        arrival.signed = is_signed(headers, body)
        arrival.skew = int(headers.get("webhook-timestamp", "0")) - time.time()
        arrival.intact = is_intact(body, arrival.event)
        key = arrival.event, arrival.tenant, arrival.endpoint
        self.records.counts[key] += 1
        arrival.n = self.records.counts[key]
        self.records.arrivals.append(arrival)
        return arrival

    async def answer(self, arrival, reader, writer):
        if self.state == HANGS:
            await reader.read(1)  # until they have had enough
            return False
        if self.state == RESETS:
            return False
        key = arrival.tenant, arrival.endpoint
        fails = self.state == FAILS or key in self.failing
        status = 503 if fails else self.endpoints[key].answer(arrival.event, arrival.n, self.mended)
        arrival.status, arrival.ended = status, time.monotonic()
        if status == 200:
            self.records.accepted.add((arrival.event, *key))
        writer.write(b"HTTP/1.1 %d x\r\ncontent-length: 0\r\n\r\n" % status)
        await writer.drain()
        return True


def parsed(head):
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    return first.split(" ")[1], {name.lower(): value for name, value in headers.items()}


def is_intact(body, event_id):
    try:
        return json.loads(body) == data_of(event_id)
    except ValueError:
        return False
