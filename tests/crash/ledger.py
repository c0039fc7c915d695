"""What was published. An event that the log acknowledged is owed to every endpoint that wants it; one that nobody
acknowledged may be on the log or not, and is owed to nobody."""
import threading
import time


class Event:
    __slots__ = ("id", "tenant", "type", "tried_at", "acknowledged_at", "tries", "webhook_id", "position")

    def __init__(self, id_, tenant, type_):
        self.id, self.tenant, self.type = id_, tenant, type_
        self.tried_at, self.acknowledged_at, self.tries = None, None, 0
        self.webhook_id = self.position = None

    def row(self):
        return {name: getattr(self, name) for name in self.__slots__}


class Ledger:
    def __init__(self, endpoints):
        self.lock = threading.Lock()
        self.events = {}
        self.endpoints = {}
        for one in endpoints:
            self.endpoints.setdefault(one.tenant, []).append(one)

    def tried(self, event):
        with self.lock:
            self.events[event.id] = event
            event.tries += 1
            event.tried_at = event.tried_at or time.monotonic()

    def acknowledged(self, event_id, answer):
        with self.lock:
            event = self.events[event_id]
            event.acknowledged_at = event.acknowledged_at or time.monotonic()
            event.webhook_id = answer["webhook_id"]
            event.position = (answer.get("partition"), answer.get("offset"))

    def of(self, event):
        return [one for one in self.endpoints[event.tenant] if one.wants(event.type)]

    def acknowledged_events(self):
        with self.lock:
            return [event for event in self.events.values() if event.acknowledged_at]

    def owed(self):
        """(event id, tenant, endpoint id) of everything that must have come to an end."""
        return {(event.id, *one.key) for event in self.acknowledged_events() for one in self.of(event)}

    def may_arrive(self, event_id, key):
        event = self.events.get(event_id)
        return event is not None and any(one.key == key for one in self.of(event))
