"""Stands between the daemons and Kafka: cuts, delays or silences the connections of one daemon. Each daemon dials an
address of its own (names.py), so the proxy knows whose connection it holds."""
import asyncio

WELL, CUT, SILENT = "well", "cut", "silent"  # or a number: seconds that each piece is late


class Proxy:
    def __init__(self, reactor, ports):
        """`ports`: pairs of where to listen and where to lead."""
        self.links, self.open = {}, []
        self.reactor = reactor
        reactor.run(self.listen(ports))

    async def listen(self, ports):
        for outer, inner in ports:
            lead = lambda reader, writer, inner=inner: self.lead(inner, reader, writer)
            await asyncio.start_server(lead, "0.0.0.0", outer)

    def set(self, number, state):
        """Of daemon `number`, for the connections that stand and those to come."""
        self.reactor.run(self.change(number, state))

    async def change(self, number, state):
        before = self.links.get(number, WELL)
        self.links[number] = state
        # What was silenced has lost bytes by now or soon: like a network that dropped the connection.
        if CUT in (state, before) or before == SILENT:
            for one, writer in list(self.open):
                if one == number:
                    writer.transport.abort()

    async def lead(self, inner, reader, writer):
        number = int(writer.get_extra_info("sockname")[0].split(".")[1])
        if self.links.get(number) == CUT:
            return writer.transport.abort()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", inner)
        except OSError:  # the broker is down: so is its listener
            return writer.transport.abort()
        mine = [(number, writer), (number, back)]
        self.open += mine
        try:
            await asyncio.gather(self.carry(number, reader, back), self.carry(number, there, writer))
        finally:
            for one in mine:
                self.open.remove(one)
                one[1].transport.abort()

    async def carry(self, number, source, sink):
        try:
            while piece := await source.read(65536):
                while self.links.get(number) == SILENT:
                    await asyncio.sleep(0.05)
                state = self.links.get(number, WELL)
                if isinstance(state, float):
                    await asyncio.sleep(state)
                sink.write(piece)
                await sink.drain()
        except OSError:
            pass
        sink.transport.abort()
