#!/usr/bin/env python3
"""The code on the customer's page, run against the published vectors, in each language that this machine has.

Run as: readme_test.py PATH/OF/consumers/README.md. A language whose tools are missing is skipped, by name.
"""
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

PAGE = ""
NOW = 1614265330
BODY = '{"test": 2432232314}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
V1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
V1A = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
X = "sha256=e96203c6de850e7dc1fde7489ef6140b402d3a5a64fe250cd2eef9830fac1cef"


def standard(signature, **changes):
    return dict({"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": str(NOW),
                 "webhook-signature": signature}, **{name.replace("_", "-"): value for name, value in changes.items()})


def x_webhook(signature, **more):
    return dict({"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "x-webhook-timestamp": str(NOW),
                 "x-webhook-signature": signature}, **more)


# scheme, secret, headers, body, now, expected
CASES = [
    ("v1", SECRET, standard(V1), BODY, NOW, True),
    ("v1", SECRET, standard("v1,AAAA v2,x " + V1), BODY, NOW + 300, True),
    ("v1", SECRET, standard(V1), BODY + " ", NOW, False),
    ("v1", SECRET, standard(V1, webhook_id="msg_other"), BODY, NOW, False),
    ("v1", SECRET, standard(V1, webhook_timestamp=str(NOW + 1)), BODY, NOW, False),
    ("v1", SECRET, standard(V1), BODY, NOW + 301, False),
    ("v1", SECRET, standard(V1), BODY, NOW - 301, False),
    ("v1", OTHER, standard(V1), BODY, NOW, False),
    ("v1", SECRET, standard("v1,\u00fc"), BODY, NOW, False),
    ("v1", SECRET, {}, BODY, NOW, False),
    ("v1a", PUBLIC, standard(V1A), BODY, NOW, True),
    ("v1a", PUBLIC, standard(V1 + " " + V1A), BODY, NOW - 300, True),
    ("v1a", PUBLIC, standard(V1A), BODY + " ", NOW, False),
    ("v1a", PUBLIC, standard(V1A), BODY, NOW + 301, False),
    ("v1a", PUBLIC, standard("v1a,AAAA"), BODY, NOW, False),
    ("v1a", PUBLIC, {}, BODY, NOW, False),
    ("x-webhook", SECRET, x_webhook(X), BODY, NOW, True),
    ("x-webhook", SECRET, x_webhook("sha256=00", **{"x-webhook-signature-next": X}), BODY, NOW, True),
    ("x-webhook", SECRET, x_webhook(X), BODY + " ", NOW, False),
    ("x-webhook", SECRET, x_webhook(X, **{"x-webhook-timestamp": str(NOW + 1)}), BODY, NOW, False),
    ("x-webhook", SECRET, x_webhook(X), BODY, NOW + 301, False),
    ("x-webhook", SECRET, x_webhook("sha256="), BODY, NOW, False),
    ("x-webhook", SECRET, {}, BODY, NOW, False),
]


def code(language):
    with open(PAGE, encoding="utf-8") as page:
        blocks = re.findall(r"^```" + language + r"\n(.*?)^```$", page.read(), re.S | re.M)
    assert blocks, language
    return "\n".join(blocks)


def literal(text):  # a string literal of JavaScript, Go, Java and C++ alike
    return json.dumps(text, ensure_ascii=False)


class Page(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def check(self, *command, cases=None, **options):
        """Each program prints one word a case: true or false."""
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, timeout=300, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = [word == "true" for word in done.stdout.lower().split()]
        cases = CASES if cases is None else cases
        self.assertEqual(len(said), len(cases), done.stdout)
        for case, answer in zip(cases, said):
            self.assertEqual(answer, case[-1], case)

    def need(self, tool):
        if not shutil.which(tool):
            self.skipTest(f"no {tool} on this machine")

    def test_python(self):
        text, cases = code("python"), CASES
        if not importlib.util.find_spec("cryptography"):
            print("\n(no Python package 'cryptography': v1a in Python is not run)", file=sys.stderr)
            text = text[:text.index("from cryptography")]
            cases = [case for case in CASES if case[0] != "v1a"]
        calls = "".join(f"print(verify_{scheme.replace('-', '_')}({secret!r}, {headers!r}, {body.encode()!r}, {now}))\n"
                        for scheme, secret, headers, body, now, _ in cases)
        self.check(sys.executable, self.write("webhooks.py", text + "\n" + calls), cases=cases)

    def test_a_challenge_in_python(self):
        block = re.search(r"^def challenge_answer.*?(?=^```$)", code("python") + "\n```", re.S | re.M).group(0)
        block = block[:block.index("\nimport")] if "\nimport" in block else block
        names = {}
        exec(block, names)
        answer, value = names["challenge_answer"], "chl_0123456789abcdef"
        self.assertEqual(answer({"webhook-challenge": value}, b'{"challenge":"' + value.encode() + b'"}'), value)
        self.assertIsNone(answer({"webhook-challenge": value}, b"{}"))
        self.assertIsNone(answer({}, b"{}"))

    def test_javascript(self):
        self.need("node")
        names = {"v1": "verifyV1", "v1a": "verifyV1a", "x-webhook": "verifyXWebhook"}
        calls = "".join(f"console.log({names[scheme]}({literal(secret)}, {literal(headers)}, Buffer.from({literal(body)}), {now}));\n"
                        for scheme, secret, headers, body, now, _ in CASES)
        self.check("node", self.write("webhooks.js", code("javascript") + "\n" + calls))

    def test_go(self):
        self.need("go")
        names = {"v1": "VerifyV1", "v1a": "VerifyV1a", "x-webhook": "VerifyXWebhook"}
        calls = "".join(
            "\th = http.Header{}\n" +
            "".join(f"\th.Set({literal(name)}, {literal(value)})\n" for name, value in headers.items()) +
            f"\tfmt.Println(webhooks.{names[scheme]}({literal(secret)}, h, []byte({literal(body)}), {now}))\n"
            for scheme, secret, headers, body, now, _ in CASES)
        self.write("go.mod", "module page\n\ngo 1.19\n")
        self.write("webhooks/webhooks.go", code("go"))
        self.write("main.go", 'package main\n\nimport (\n\t"fmt"\n\t"net/http"\n\n\t"page/webhooks"\n)\n\n'
                              "func main() {\n\tvar h http.Header\n" + calls + "}\n")
        self.check("go", "run", ".", env=dict(os.environ, GOFLAGS="-mod=mod", GOTOOLCHAIN="local", GOPROXY="off"))

    def test_java(self):
        self.need("javac")
        names = {"v1": "verifyV1", "v1a": "verifyV1a", "x-webhook": "verifyXWebhook"}
        calls = "".join(
            "    h = new java.util.HashMap<>();\n" +
            "".join(f"    h.put({literal(name)}, {literal(value)});\n" for name, value in headers.items()) +
            f"    System.out.println(Webhooks.{names[scheme]}({literal(secret)}, h, {literal(body)}.getBytes(), {now}L));\n"
            for scheme, secret, headers, body, now, _ in CASES)
        self.write("Webhooks.java", code("java"))
        self.write("Page.java", "class Page {\n  public static void main(String[] a) throws Exception {\n"
                                "    java.util.Map<String, String> h;\n" + calls + "  }\n}\n")
        subprocess.run(["javac", "-encoding", "UTF-8", "Page.java", "Webhooks.java"], cwd=self.folder, check=True)
        self.check("java", "-cp", ".", "Page")

    def test_cpp(self):
        self.need("g++")
        shutil.copy(os.path.join(os.path.dirname(PAGE), "verifier.h"), self.folder)
        calls = "".join(
            "  std::cout << verify(" + literal(secret) + ", {" +
            ", ".join(f"{{{literal(name)}, {literal(value)}}}" for name, value in headers.items()) +
            f"}}, {literal(body)}, {now}) << '\\n';\n" for _, secret, headers, body, now, _ in CASES)
        source = self.write("page.cc", code("cpp") + "\n#include <iostream>\nint main() {\n  std::cout << std::boolalpha;\n" +
                            calls + "}\n")
        subprocess.run(["g++", "-std=c++17", "-Wall", "-Wextra", source, "-o", "page", "-lcrypto"], cwd=self.folder,
                       check=True)
        self.check(os.path.join(self.folder, "page"))


if __name__ == "__main__":
    PAGE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
