"""A small OpenID Connect issuer over https, and tokens of every kind that it would and would never make. Its keys and
signatures are python3-cryptography's: another hand than the one that verifies them."""
import base64
import hashlib
import hmac
import http.server
import json
import ssl
import threading
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).rstrip(b"=").decode()


def number(value, size=None):
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class Key:
    def __init__(self, kid, algorithm="RS256"):
        self.kid, self.algorithm = kid, algorithm
        self.private = (rsa.generate_private_key(65537, 2048) if algorithm[:2] in ("RS", "PS") else
                        ec.generate_private_key(ec.SECP256R1()))
        self.public = self.private.public_key()

    def jwk(self):
        numbers = self.public.public_numbers()
        if self.algorithm[:2] == "ES":
            return {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32), "kid": self.kid,
                    "use": "sig"}
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), "kid": self.kid, "use": "sig"}

    def pem(self):
        return self.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, data):
        if self.algorithm == "RS256":
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        if self.algorithm == "PS256":
            return self.private.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        r, s = utils.decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token(key, claims, head=None, sign=None):
    """`head` adds to the header or replaces; `sign`: something else than the key's signature."""
    first = b64({"alg": key.algorithm, "kid": key.kid, "typ": "JWT", **(head or {})})
    body = f"{first}.{b64(claims)}"
    return f"{body}.{b64((sign or key.sign)(body.encode()))}"


class Issuer:
    def __init__(self, authority):
        self.keys, self.requests, self.up = [Key("first"), Key("curve", "ES256"), Key("pss", "PS256")], [], True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                found = outer.answers().get(self.path) if outer.up else None
                body = json.dumps(found or {}).encode()
                self.send_response(200 if found else 503)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.cert, authority.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.server.server_address[1]}/ops"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answers(self):
        return {"/ops/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": self.url + "/keys"},
                "/ops/keys": {"keys": [key.jwk() for key in self.keys]}}

    def claims(self, **more):
        now = int(time.time())
        claims = {"iss": self.url, "aud": ["postrider", "other"], "sub": "ada@example.com", "exp": now + 300, "iat": now,
                  "roles": ["platform"], **more}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, key=0, head=None, sign=None, **claims):
        return token(self.keys[key], self.claims(**claims), head, sign)

    def attacks(self):
        """name → a token that must not be taken. Each differs from a good one in one thing."""
        now, first = int(time.time()), self.keys[0]
        stranger = Key("first")
        hs = lambda secret: lambda data: hmac.new(secret, data, hashlib.sha256).digest()
        good = self.token()
        head, body, signature = good.split(".")
        return {
            "no signature, alg none": self.token(head={"alg": "none"}, sign=lambda data: b""),
            "alg None": self.token(head={"alg": "None"}, sign=lambda data: b""),
            "signature left out": f"{head}.{body}.",
            "HS256 under the public key": self.token(head={"alg": "HS256"}, sign=hs(first.pem())),
            "HS256 under its modulus": self.token(head={"alg": "HS256"}, sign=hs(first.jwk()["n"].encode())),
            "HS256 under nothing": self.token(head={"alg": "HS256"}, sign=hs(b"")),
            "RS256's key, said to be ES256": self.token(head={"alg": "ES256"}),
            "another's key under the same kid": token(stranger, self.claims()),
            "its key in the header": token(stranger, self.claims(), {"jwk": stranger.jwk()}),
            "its key's address in the header": token(stranger, self.claims(), {"jku": self.url + "/keys", "x5u": self.url}),
            "its certificate in the header": token(stranger, self.claims(), {"x5c": [b64(stranger.pem())]}),
            "claims changed": f"{head}.{b64(self.claims(sub='eve'))}.{signature}",
            "a critical extension": self.token(head={"crit": ["exp"], "exp": 1}),
            "another audience": self.token(aud="other"),
            "no audience": self.token(aud=None),
            "another issuer": self.token(iss="https://idp.example.com"),
            "the issuer with a slash": self.token(iss=self.url + "/"),
            "expired": self.token(exp=now - 120),
            "no end": self.token(exp=None),
            "good for a year": self.token(exp=now + 365 * 86400),
            "not yet": self.token(nbf=now + 600),
            "made in the future": self.token(iat=now + 600),
            "no subject": self.token(sub=None),
            "huge": self.token(padding="x" * 9000),
            "a null signature (ES256)": self.token(1, sign=lambda data: bytes(64)),
            "no JSON": f"{head}.e30x.{signature}",
            "four parts": good + ".AA",
        }

    def close(self):
        self.server.shutdown()
        self.server.server_close()
