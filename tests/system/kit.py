"""What tests of the whole need: real daemons, a real broker, receivers with real TLS, and the tools as a user runs
them. Nothing here is a stand-in. Everything started is ended by its own process id."""
import base64
import collections
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POSTRIDER_TEST_BUILD", ROOT / "build/release"))
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def until(done, seconds=60, what="it"):
    """Waits for a condition; the bound is for a hung run, not for speed."""
    end = time.monotonic() + seconds
    while not (value := done()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {seconds} s")
        time.sleep(0.02)
    return value


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Authority:
    """A throw-away certificate authority and a certificate for localhost and `names`. `openssl`: the command, for
    who wants another clock around it."""

    def __init__(self, directory, names=(), openssl=("openssl",)):
        self.ca = directory / "ca.pem"
        self.cert, self.key = directory / "cert.pem", directory / "key.pem"
        run = lambda *words: subprocess.run([*openssl, *words], check=True, capture_output=True, cwd=directory)
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9",
            "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
        run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost",
            "-keyout", "key.pem", "-out", "cert.csr")
        also = "".join(f",DNS:{name}" for name in names)
        (directory / "ext").write_text(f"subjectAltName=DNS:localhost,IP:127.0.0.1{also}\n")
        run("x509", "-req", "-in", "cert.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9",
            "-extfile", "ext", "-out", "cert.pem")
        self.run, self.directory = run, directory

    def client(self, name):
        """A client's certificate and its key."""
        self.run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                 "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9",
                 "-out", f"{name}.pem")
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"


class Receiver:
    """A customer's endpoint over TLS. `answer(n, webhook_id)` gives the status (or status, headers) of the n-th
    request of that webhook-id; every arrival is kept, and whether its signature verifies."""

    def __init__(self, authority, answer=lambda n, webhook_id: 200):
        self.arrivals, self.lock = [], threading.Lock()
        self.counts = collections.Counter()
        self.answer = answer
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.take(self, {k.lower(): v for k, v in self.headers.items()}, body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.cert, authority.key)
        # The handshake belongs to the connection's own thread, not to the one that accepts.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, handler, headers, body):
        webhook_id = headers.get("webhook-id", "")
        with self.lock:
            self.counts[webhook_id] += 1
            n = self.counts[webhook_id]
            verified = verify(headers, body)
            arrival = {"at": time.time(), "id": webhook_id, "n": n, "headers": headers, "body": body,
                       "verified": verified, "status": None}
            self.arrivals.append(arrival)
        answer = self.answer(n, webhook_id)
        status, extra = answer if isinstance(answer, tuple) else (answer, {})
        arrival["status"] = status
        handler.send_response(status)
        for name, value in extra.items():
            handler.send_header(name, value)
        handler.send_header("content-length", "0")
        handler.end_headers()

    def ids(self):
        with self.lock:
            return {arrival["id"] for arrival in self.arrivals}

    def delivered(self):
        with self.lock:
            return {arrival["id"] for arrival in self.arrivals if arrival["status"] == 200}

    def of(self, webhook_id):
        with self.lock:
            return [arrival for arrival in self.arrivals if arrival["id"] == webhook_id]

    def count(self):
        with self.lock:
            return len(self.arrivals)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def is_signed(headers, body, secret=SECRET):
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp', '0')}.".encode() + body
    want = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return want in headers.get("webhook-signature", "").split()


def verify(headers, body, secret=SECRET):
    return is_signed(headers, body, secret) and abs(time.time() - int(headers.get("webhook-timestamp", "0"))) <= 300


class Broker:
    """A real Apache Kafka, of one or three nodes. `more` goes to kafka-broker's `start`."""
    SCRIPT = ROOT / "tests/support/kafka-broker"

    def __init__(self, directory, nodes=1, more=()):
        self.directory, self.nodes = directory, nodes
        command = [self.SCRIPT, "start", str(directory), "--nodes", str(nodes), *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
        self.address = self.process.stdout.readline().strip()
        if not self.address:
            raise AssertionError("the broker did not start")

    def ports(self):
        """The ports of each node, as kafka-broker drew them."""
        return [tuple(map(int, line.split())) for line in (self.directory / "ports").read_text().splitlines()]

    def kill(self, node=1):
        subprocess.run([self.SCRIPT, "kill", str(self.directory), str(node)], check=True, timeout=60)

    def wake(self, node=1):
        """A broker gives up when its quorum does not take it in within a minute, which a busy machine may need longer
        for: it is started again, as a supervisor would."""
        for _ in range(5):
            if subprocess.run([self.SCRIPT, "wake", str(self.directory), str(node)], timeout=300).returncode == 0:
                return
            self.kill(node)
        raise AssertionError(f"Kafka's node {node} does not start again")

    def signal(self, node, number):
        os.kill(int((self.directory / f"node-{node}" / "pid").read_text()), number)

    def close(self):
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()


Ran = collections.namedtuple("Ran", "code out err")


def run_tool(name, *words, env=None, stdin=None, timeout=120):
    done = subprocess.run([BUILD / name, *map(str, words)], capture_output=True, text=True, timeout=timeout,
                          input=stdin, env={**os.environ, **(env or {})})
    return Ran(done.returncode, done.stdout, done.stderr)


class Daemon:
    """postriderd in a directory of its own. `log`: "kafka://…", or None for the embedded log. `tls`: its API speaks
    TLS, with the authority's certificate; `client`: and we show this certificate and key, as tls.client_ca wants."""

    def __init__(self, directory, authority, log=None, environment="development", extra="", tls=False, client=None):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.environment = environment
        self.log = log or f"embedded:{directory}/log"
        self.data = directory / "data"
        self.key = directory / "key"
        self.port = free_port()
        self.api = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.tls, self.client = tls, client
        self.config = directory / "postrider.toml"
        self.errors = directory / "stderr.log"
        self.authority = authority
        self.extra = extra
        self.guard = 'allow = ["127.0.0.0/8", "::1/128"]\nports = ["1024-65535"]'
        self.process = None
        self.token_file = self.data / "admin.token"
        self.write_config()

    def write_config(self):
        top, _, tables = self.extra.partition("---\n")
        self.config.write_text(f"""environment = "{self.environment}"
log = "{self.log}"
data = "{self.data}"
listen = "127.0.0.1:{self.port}"
{top}
[keys]
service = "file:{self.key}"
[guard]
{self.guard}
{self.tls_table()}
[delivery]
ca_file = "{self.authority.ca}"
{tables}
""")

    def tls_table(self):
        if not self.tls:
            return ""
        also = f'client_ca = "{self.authority.ca}"' if self.client else ""
        return f'[tls]\ncert = "{self.authority.cert}"\nkey = "{self.authority.key}"\n{also}'

    def connection(self, timeout=10):
        if not self.tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        context = ssl.create_default_context(cafile=self.authority.ca)
        if self.client:
            context.load_cert_chain(*self.client)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def tls_words(self):
        """What the tools are told to speak to it."""
        words = ["--ca", self.authority.ca] if self.tls else []
        return words + (["--client-cert", self.client[0], "--client-key", self.client[1]] if self.client else [])

    def command(self):
        return [BUILD / "postriderd", "--config", str(self.config)]

    def environ(self):
        return dict(os.environ)

    def start(self, ready=True, env=None):
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(self.command(), stderr=errors, stdout=subprocess.DEVNULL,
                                            env={**self.environ(), **(env or {})}, cwd=self.directory)
        if ready:
            self.wait_ready()
        return self

    def get(self, path):
        connection = self.connection()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def api_get(self, path, token):
        connection = self.connection()
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(f"postriderd ended: {self.errors.read_text()[-2000:]}")
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def wait_ready(self):
        until(self.is_ready, 60, "readiness")

    def wait_token(self):
        until(self.token_file.exists, 30, "admin.token")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)
        return self.process.returncode if self.process else None

    def lines(self):
        """Of its log. One that was killed may have left half a line."""
        return [json.loads(line) for line in self.errors.read_text(errors="replace").splitlines()
                if line.startswith("{") and line.endswith("}")]

    def ops(self, *words, **more):
        env = {"TEST_SECRET": SECRET}
        return run_tool("postrider-ops", "--api", self.api, "--token-file", self.token_file, *self.tls_words(), *words, env=env,
                        **more)

    def reconcile(self, *words):
        """Reads the log alone: on the embedded one the daemon must be stopped. Exit code and totals."""
        done = run_tool("postrider-ops", "--log", self.log, "--environment", self.environment, "--keys",
                        f"file:{self.key}", "reconcile", "--json", *words)
        lines = [json.loads(line) for line in done.out.splitlines()]
        return done.code, lines[-1] if lines else done.err, lines[:-1]

    def apply(self, endpoints, *words):
        """endpoints: name → (url, {key: TOML value}). `words` go to the verb."""
        text = f'environment = "{self.environment}"\n'
        for name, (url, settings) in endpoints.items():
            values = {"tenant": '"acme"', "id": f'"{name}"', "url": f'"{url}"', "secrets": '["env:TEST_SECRET"]', **settings}
            text += "[[endpoint]]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        file = self.directory / "endpoints.toml"
        file.write_text(text)
        done = self.ops("endpoints", "apply", file, *words)
        assert done.code == 0, done
        return done

    def publish(self, *words, **more):
        done = run_tool("postrider-publish", "--to", self.api, "--token-file", self.token_file, "--environment",
                        self.environment, "--json", *self.tls_words(), *words, **more)
        assert done.code == 0, done
        return [json.loads(line) for line in done.out.splitlines()]

    def publish_many(self, count, prefix, type_="order.created", data=None, tenants=("acme",)):
        """A file of events, in turn of each of `tenants`."""
        file = self.directory / f"{prefix}.jsonl"
        with open(file, "w") as out:
            for i in range(count):
                out.write(json.dumps({"specversion": "1.0", "id": f"{prefix}-{i}", "source": "/shop", "type": type_,
                                      "tenant": tenants[i % len(tenants)], "data": data or {"number": i}}) + "\n")
        return file


def metric(text, name):
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+-]+)$", text, re.M)
    return sum(float(value) for value in found)


def scratch():
    return pathlib.Path(tempfile.mkdtemp(prefix="postrider-test-"))
