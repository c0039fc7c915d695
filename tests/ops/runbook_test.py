"""The runbook against the sources: every code that an error can have stands in it, and none that is no more."""
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CODE = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"
# Spelt like codes, and none: how a receiver's answer is named, and variables.
OTHERS = re.compile(r"HTTP_\d+|CKM_\w+|POSTRIDER_\w+|WEBHOOK_SECRET|KAFKA_PASSWORD")


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def sources():
    for part in ("engine", "ops", "producers", "consumers"):
        for folder, _, names in os.walk(os.path.join(ROOT, part)):
            for name in names:
                if name.endswith((".cc", ".h")):
                    yield re.sub(r"//.*", "", text_of(os.path.join(folder, name)))


def codes_of_the_sources():
    codes, kinds, suffixes = set(), set(), set()
    for text in sources():
        codes |= set(re.findall('"(%s)"' % CODE, text))
        codes |= set(re.findall(r'(?:Errc::\w+,|\bcode [!=]?=)\s*"([A-Z][A-Z0-9_]+)"', text))
        # A PrivateFileKind begins the codes of its files.
        kinds |= set(re.findall(r'PrivateFileKind \w+\s*[={]+\s*"(\w+)"', text))
        suffixes |= set(re.findall(r'code\(kind, "(_\w+)"\)', text))
    assert kinds and suffixes
    codes |= {kind + suffix for kind in kinds for suffix in suffixes}
    return {code for code in codes - kinds if not OTHERS.fullmatch(code)}


def codes_of_the_runbook():
    text = text_of(os.path.join(ROOT, "ops", "runbook.md"))
    rows = re.findall(r"^\|([^|]*)\|", text, re.M)
    spelt = set(re.findall("`(%s)`" % CODE, text)) | {c for row in rows for c in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}
    return {code for code in spelt if not OTHERS.fullmatch(code)}


class Runbook(unittest.TestCase):
    maxDiff = None

    def test_it_knows_every_code_that_an_error_can_have(self):
        self.assertEqual(sorted(codes_of_the_sources() - codes_of_the_runbook()), [])

    def test_it_knows_none_that_no_error_has(self):
        self.assertEqual(sorted(codes_of_the_runbook() - codes_of_the_sources()), [])
