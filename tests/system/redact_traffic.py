#!/usr/bin/env python3
"""Takes out of recorded traffic what is nobody else's business, and keeps what a replay needs: the shape of everything,
and which value is the same as which. Secrets, tokens and whatever ops/secret-scan knows become <secret-1>, <token-2>, …,
the same one wherever the same value stood; payloads and free text keep their form and lose their words; of headers only
those of the lists below are kept, and of a URL no user, query or fragment.

  redact_traffic.py < raw.jsonl > redacted.jsonl    lines as record_traffic writes them
"""
import importlib.machinery
import importlib.util
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
REQUEST_HEADERS = re.compile(r"authorization|content-type|accept|if-match|if-none-match|idempotency-key|ce-[a-z0-9]+")
ANSWER_HEADERS = re.compile(r"content-type|etag|location|retry-after|www-authenticate|allow|idempotent-replayed")
WEBHOOK_HEADERS = re.compile(r"content-type|webhook-(id|timestamp|signature|challenge)|x-webhook-[a-z-]+|ce-[a-z0-9]+")
SECRETS = {"token", "secret", "secrets", "challenge", "password"}
PAYLOADS = {"data", "data_base64", "body", "body_base64", "payload", "record_base64", "snippet", "response_snippet"}
WORDS = {"why", "actor", "address", "subject", "description", "by", "changed_by", "created_by", "cancelled_by"}


def scanner():
    loader = importlib.machinery.SourceFileLoader("secret_scan", str(ROOT / "ops/secret-scan"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


FORMATS = [(name, re.compile(form.pattern.decode(), form.flags & ~re.U | re.U)) for name, form in scanner().FORMATS]


def blank(value):
    """The same form without the words."""
    if isinstance(value, dict):
        return {key: blank(one) for key, one in value.items()}
    if isinstance(value, list):
        return [blank(one) for one in value]
    if isinstance(value, bool) or value is None:
        return value
    return 1 if isinstance(value, (int, float)) else "redacted"


class Redactor:
    def __init__(self):
        self.known = {}

    def placeholder(self, kind, value):
        if re.fullmatch(r"<[a-z-]+-\d+>", value):
            return value
        return self.known.setdefault(value, f"<{kind}-{len(self.known) + 1}>")

    def text(self, text):
        for value, placeholder in self.known.items():  # where no format shows it, too
            text = text.replace(value, placeholder)
        for name, form in FORMATS:
            kind = name.split()[-1].lower()
            text = form.sub(lambda found: found[0].replace(found[1], self.placeholder(kind, found[1])), text)
        return re.sub(r"(https?://)(?:[^\s/\"@]*@)?([^\s\"?#]*)[^\s\"]*", r"\1\2", text)

    def value(self, value, key=""):
        if key in PAYLOADS | WORDS and value is not None:
            return blank(value)
        if isinstance(value, dict):
            return {self.text(name): self.value(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [self.value(one, key) for one in value]
        if not isinstance(value, str):
            return value
        return self.placeholder(key.removesuffix("s"), value) if key in SECRETS else self.text(value)

    def headers(self, headers, kept):
        out = {}
        for name, value in headers.items():
            if name == "authorization":
                scheme, _, credential = value.partition(" ")
                out[name] = f"{scheme} {self.placeholder('token', credential)}"
            elif kept.fullmatch(name):
                out[name] = self.text(value)
        return out

    def body(self, message):
        """A published body in binary mode is nothing but payload."""
        if any(name.startswith("ce-") for name in message["headers"]):
            return blank(message["body"])
        return self.value(message["body"])

    def line(self, line):
        if "wait" in line:
            return line
        request, answer = line["request"], line["answer"]
        told = self.value(answer["body"])  # first: what it shows once is the credential of what follows
        return {"request": {**request, "path": self.text(request["path"]),
                            "headers": self.headers(request["headers"], REQUEST_HEADERS), "body": self.body(request)},
                "answer": {**answer, "headers": self.headers(answer["headers"], ANSWER_HEADERS), "body": told}}


if __name__ == "__main__":
    redactor = Redactor()
    for raw in sys.stdin:
        print(json.dumps(redactor.line(json.loads(raw)), ensure_ascii=False))
