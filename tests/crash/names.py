"""A name server for each daemon. Every life of a daemon is given an address of its own (127.NUMBER.HIGH.LOW), at which
it finds the receivers: so a receiver sees by the address that was dialled who sent, and in which life."""
import asyncio
import socket
import struct

HOOKS, KAFKA = "hooks.test", "kafka.test"
TTL = 5  # seconds: the least that the engine takes
A, OK, NO_SUCH_NAME = 1, 0x8580, 0x8583


def question_of(query):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind = struct.unpack_from(">H", query, at + 1)[0]
    return ".".join(labels).lower(), kind, query[12:at + 5]


def answer_to(query, find):
    name, kind, question = question_of(query)
    address = find(name)
    records = [address] if address and kind == A else []
    head = query[:2] + struct.pack(">HHHHH", OK if address else NO_SUCH_NAME, 1, len(records), 0, 0)
    body = b"".join(struct.pack(">HHHIH", 0xC00C, A, 1, TTL, 4) + socket.inet_aton(one) for one in records)
    return head + question + body


class NameServer(asyncio.DatagramProtocol):
    """Of daemon `number`, at 127.NUMBER.0.53."""

    def __init__(self, reactor, number):
        self.number, self.life, self.gone = number, 0, False
        self.at = f"127.{number}.0.53"
        self.reactor = reactor
        reactor.run(self.listen())

    async def listen(self):
        await self.reactor.loop.create_datagram_endpoint(lambda: self, (self.at, 53))

    @property
    def address(self):
        return f"127.{self.number}.{self.life // 250 + 1}.{self.life % 250 + 1}"

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, peer):
        if not self.gone:
            self.transport.sendto(answer_to(query, self.find), peer)

    def find(self, name):
        if name.endswith(HOOKS):
            return self.address
        return f"127.{self.number}.0.1" if name.endswith(KAFKA) else None
