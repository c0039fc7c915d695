#!/usr/bin/env python3
"""Speaks the part of Vault's HTTP API that a client of the transit engine meets, with Vault's own status codes and
words: encrypt, decrypt, rewrap, rotate, config, delete, seal, token revocation, rate limits, a standby's redirect.

  fake_vault.py [--cert PEM --key PEM] [--port N] [--token T]     prints "port N" once it listens; ends when stdin closes

Token "root" may do everything, "app" only update encrypt/, decrypt/ and rewrap/ of the key "postrider" and of
"derived". Beside Vault's own paths, POST /test/fault {"status": 429, "words": "…", "times": 3} answers the next calls
so; {"hang": true} lets them wait; {"raw": "…"} answers 200 with that; GET /test/calls counts what was asked.
"""
import argparse
import base64
import http.server
import json
import os
import re
import ssl
import sys
import threading

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Refused(Exception):
    def __init__(self, status, words):
        super().__init__(words)
        self.status, self.words = status, words


class Key:
    def __init__(self, derived=False):
        self.derived, self.least, self.versions = derived, 1, [os.urandom(32)]

    def cipher(self, version, body):
        key = self.versions[version - 1]
        if self.derived:
            if not body.get("context"):
                raise Refused(400, "missing 'context' for key derivation; the key was created using a derived key, which "
                                   "means additional, per-request information must be included in order to perform "
                                   "operations with the key")
            key = HKDF(hashes.SHA256(), 32, None, base64.b64decode(body["context"])).derive(key)
        return AESGCM(key)

    def encrypt(self, body):
        plain, nonce = base64.b64decode(body["plaintext"], validate=True), os.urandom(12)
        version = len(self.versions)
        sealed = nonce + self.cipher(version, body).encrypt(nonce, plain, None)
        return f"vault:v{version}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, body):
        text = body["ciphertext"]
        if not text.startswith("vault:v"):
            raise Refused(400, "invalid ciphertext: no prefix")
        version, _, sealed = text[7:].partition(":")
        if not version.isdigit() or int(version) > len(self.versions):
            raise Refused(400, "invalid ciphertext: version is too new")
        if int(version) < self.least:
            raise Refused(400, "ciphertext or signature version is disallowed by policy (too old)")
        try:
            raw = base64.b64decode(sealed, validate=True)
            return self.cipher(int(version), body).decrypt(raw[:12], raw[12:], None)
        except InvalidTag:
            raise Refused(400, "cipher: message authentication failed") from None
        except ValueError:
            raise Refused(400, "invalid ciphertext: could not decode base64") from None


class Vault:
    def __init__(self):
        self.lock = threading.Lock()
        self.keys = {"postrider": Key(), "derived": Key(derived=True)}
        self.tokens = {"root", "app"}
        self.sealed = False
        self.faults = []
        self.calls = {}

    def may(self, token, path):
        if token not in self.tokens:
            return False
        return token == "root" or bool(re.fullmatch(r"transit/(encrypt|decrypt|rewrap)/(postrider|derived)", path))

    def answer(self, path, body, token):
        if path == "sys/seal":
            self.sealed = True
            return None
        if path == "sys/unseal":
            self.sealed = False
            return {"sealed": False}
        if self.sealed:
            raise Refused(503, "Vault is sealed")
        if not self.may(token, path):
            raise Refused(403, "1 error occurred:\n\t* permission denied\n\n")
        if path == "auth/token/revoke":
            self.tokens.discard(body["token"])
            return None
        parts = path.split("/")
        if parts[0] != "transit":
            raise Refused(404, f"no handler for route \"{path}\". route entry not found.")
        return self.transit(parts[1:], body)

    def transit(self, parts, body):
        verb, name = parts[0], parts[1]
        if verb == "keys" and parts[2:] == ["delete"]:
            self.keys.pop(name, None)
            return None
        if name not in self.keys:
            raise Refused(400, "encryption key not found")
        key = self.keys[name]
        self.calls[verb] = self.calls.get(verb, 0) + 1
        if verb == "encrypt":
            return {"ciphertext": key.encrypt(body), "key_version": len(key.versions)}
        if verb == "decrypt":
            return {"plaintext": base64.b64encode(key.decrypt(body)).decode()}
        if verb == "rewrap":
            plain = base64.b64encode(key.decrypt(body)).decode()
            return {"ciphertext": key.encrypt({**body, "plaintext": plain}), "key_version": len(key.versions)}
        if verb == "keys" and parts[2:] == ["rotate"]:
            key.versions.append(os.urandom(32))
            return None
        if verb == "keys" and parts[2:] == ["config"]:
            key.least = int(body["min_decryption_version"])
            return None
        raise Refused(404, "unsupported path")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vault = None

    def log_message(self, *_):
        pass

    def send(self, status, raw, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self):
        with self.vault.lock:
            self.send(200, json.dumps(self.vault.calls).encode())

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path == "/test/fault":
            with self.vault.lock:
                self.vault.faults = [body] * body.get("times", 1)
            return self.send(200, b"{}")
        with self.vault.lock:
            fault = self.vault.faults.pop(0) if self.vault.faults else None
        if fault:
            return self.misbehave(fault)
        try:
            with self.vault.lock:
                data = self.vault.answer(self.path.removeprefix("/v1/"), body, self.headers.get("X-Vault-Token"))
        except Refused as refused:
            return self.send(refused.status, json.dumps({"errors": [refused.words]}).encode())
        if data is None:
            self.send_response(204)
            self.end_headers()
            return None
        return self.send(200, json.dumps({"request_id": "0", "lease_id": "", "renewable": False, "data": data,
                                          "wrap_info": None, "warnings": None, "auth": None}).encode() + b"\n")

    def misbehave(self, fault):
        if fault.get("hang"):
            threading.Event().wait(60)
        elif "raw" in fault:
            self.send(200, fault["raw"].encode())
        elif fault["status"] == 307:
            self.send(307, b"", [("Location", fault["words"])])
        else:
            self.send(fault["status"], json.dumps({"errors": [fault.get("words", "")]}).encode())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # a client that refuses our certificate is what a test wants
        pass


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--cert")
    options.add_argument("--key")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--token", default="app", help="in place of app")
    line = options.parse_args()
    Handler.vault = Vault()
    Handler.vault.tokens = {"root", line.token}
    server = Server(("127.0.0.1", line.port), Handler)
    if line.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(line.cert, line.key)
        # The handshake belongs to a connection's own thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("port", server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
