"""The world that recorded traffic was recorded in and is played again in: a fresh daemon on the embedded log, a customer who
takes what comes and one who refuses each webhook once."""
import http.server
import json
import pathlib
import threading

from kit import Authority, Daemon, Receiver, until

RECORDED = pathlib.Path(__file__).resolve().parent / "recorded"
UNHURRIED = "---\n[api]\nplatform_token_rate = 100000\naddress_rate = 100000\n"


class World:
    def __init__(self, directory):
        authority = Authority(directory)
        self.receivers = {"main": Receiver(authority), "refuses": Receiver(authority, lambda n, _: 400 if n == 1 else 200)}
        self.daemon = Daemon(directory / "daemon", authority, extra=UNHURRIED)
        self.daemon.start()
        self.daemon.wait_token()
        self.token = self.daemon.token_file.read_text().strip()

    def ask(self, method, path, headers, body):
        """status, headers in lower case, the body: JSON where it is."""
        connection = self.daemon.connection(timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, told, parsed(told, text)
        finally:
            connection.close()

    def wait(self, path, member, count):
        """Deliveries go on behind the API: both recorder and player go on where the same is there."""
        get = lambda: self.ask("GET", path, {"Authorization": f"Bearer {self.token}"}, None)[2][member]
        until(lambda: len(get()) >= count, 60, f"{count} of {path}")

    def close(self):
        self.daemon.stop()
        for receiver in self.receivers.values():
            receiver.close()


def parsed(headers, text):
    try:
        return json.loads(text) if "json" in headers.get("content-type", "") else text
    except ValueError:
        return text


class Recorder(http.server.ThreadingHTTPServer):
    """Stands before a daemon's API and writes down what passes."""
    daemon_threads = True

    def __init__(self, world):
        self.world, self.lines = world, []
        super().__init__(("127.0.0.1", 0), Passing)
        self.api = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def wait(self, path, member, count):
        self.world.wait(path, member, count)
        self.lines.append({"wait": [path, member, count]})


class Passing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = {name.lower(): value for name, value in self.headers.items()}
        status, told, answer = self.server.world.ask(self.command, self.path, asked, body or None)
        self.server.lines.append({
            "request": {"method": self.command, "path": self.path, "headers": asked, "body": parsed(asked, body.decode())},
            "answer": {"status": status, "headers": told, "body": answer}})
        back = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        for name, value in told.items():
            if name not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(back)))
        self.end_headers()
        self.wfile.write(back)

    do_GET = do_PUT = do_POST = do_DELETE = pass_on

    def log_message(self, *_):
        pass
