"""The network around the daemon of guard_inside.py, in a namespace of its own: it answers for every address there is. What
arrives for a public receiver's address is a customer's; whatever else arrives is a breach, counted to the byte. Also the
name server. Takes a JSON line on standard input for each question, and answers by one.

  guard_net.py CERT KEY"""
import collections
import ipaddress
import json
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time

PORTS = (80, 443, 3128, 8443)
RECEIVERS = ipaddress.ip_network("93.184.217.0/24")
breaches = collections.Counter()  # address:port → bytes; a connection alone is one byte
lock = threading.Lock()
names, locations, requests = {}, [], collections.Counter()
answers = {}  # host → status


def count(address, port, size):
    with lock:
        breaches[f"{address} {port}"] += size


def drain(connection, address, port):
    count(address, port, 1)
    connection.settimeout(2)
    try:
        while data := connection.recv(65536):
            count(address, port, len(data))
    except OSError:
        pass
    finally:
        connection.close()


def listen(port, take):
    """take(connection, address that was dialled, port), a thread each."""
    for family, everywhere in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((everywhere, port))
        listener.listen(512)

        def accept(listener=listener):
            while True:
                connection, _ = listener.accept()
                address = connection.getsockname()[0]
                threading.Thread(target=take, args=(connection, address, port), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()


def read_request(stream):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:] if ": " in line)
    fields = {name.lower(): value for name, value in fields.items()}
    stream.read(int(fields.get("content-length", 0)))
    return fields


def serve(connection, context):
    """A customer's receiver: 200, or what was set for its host; every answer of redirect-N.out.test leads somewhere else."""
    try:
        with context.wrap_socket(connection, server_side=True) as secure, secure.makefile("rb") as stream:
            while (fields := read_request(stream)) is not None:
                host = fields.get("host", "")
                with lock:
                    requests[host] += 1
                    status = answers.get(host, 200)
                    where = locations.pop() if host.startswith("redirect-") and locations else None
                extra = ""
                if where is not None:
                    status = (301, 302, 303, 307, 308)[len(locations) % 5]
                    extra = f"Location: https://{where}/\r\nAlt-Svc: h2=\"{where}:443\"\r\nRefresh: 0; url=https://{where}/\r\n"
                secure.sendall(f"HTTP/1.1 {status} X\r\n{extra}Content-Length: 0\r\n\r\n".encode())
    except OSError:
        pass


class Names(socketserver.BaseRequestHandler):
    """A and AAAA, TTL 0; "alias" leads to another name."""

    def handle(self):
        query, sock = self.request
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        kind = int.from_bytes(query[at + 1:at + 3], "big")
        with lock:
            known = names.get(".".join(labels))
        records = b""
        count = 0
        for text in known or []:
            address = ipaddress.ip_address(text)
            if kind == (1 if address.version == 4 else 28):
                records += b"\xc0\x0c" + kind.to_bytes(2, "big") + b"\0\1\0\0\0\0" + len(address.packed).to_bytes(2, "big") + address.packed
                count += 1
        flags = b"\x84\x00" if known is not None else b"\x84\x03"
        sock.sendto(query[:2] + flags + b"\0\1" + count.to_bytes(2, "big") + b"\0\0\0\0" + query[12:at + 5] + records,
                    self.client_address)


def run(*words):
    subprocess.run(words, check=True, capture_output=True)


def set_up():
    """Everything that comes in over the wire is for us."""
    while subprocess.run(["ip", "link", "show", "net0"], capture_output=True).returncode:
        time.sleep(0.02)
    run("ip", "link", "set", "lo", "up")
    run("ip", "addr", "add", "93.184.216.1/24", "dev", "net0")
    run("ip", "-6", "addr", "add", "2606:4700:aaaa::1/64", "dev", "net0", "nodad")
    run("ip", "link", "set", "net0", "up")
    run("ip", "addr", "add", "93.184.217.53/32", "dev", "lo")
    run("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "main")
    run("ip", "-6", "route", "add", "local", "::/0", "dev", "lo", "table", "main")


def main():
    set_up()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])

    def take(connection, address, port):
        if port in (443, 8443) and ":" not in address and ipaddress.ip_address(address) in RECEIVERS:
            serve(connection, context)
        else:
            drain(connection, address, port)
    for port in PORTS:
        listen(port, take)
    server = socketserver.ThreadingUDPServer(("93.184.217.53", 53), Names)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("{}", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        with lock:
            names.update(asked.get("names", {}))
            answers.update(asked.get("answers", {}))
            locations.extend(asked.get("locations", []))
            if asked.get("forget"):
                breaches.clear()
            print(json.dumps({"breaches": breaches, "requests": requests, "locations": len(locations)}), flush=True)


if __name__ == "__main__":
    main()
