"""Those who are not us: the official Standard Webhooks packages verify what we sign, and events produced by the
official CloudEvents package through another Kafka client arrive."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

from cases import Whole
from kit import SECRET, Broker, run_tool, until

CACHE = pathlib.Path(os.environ.get("POSTRIDER_TEST_CACHE", pathlib.Path.home() / ".cache/postrider"))
PYTHON = CACHE / "outside/bin/python"
NODE = CACHE / "outside-node"
PACKAGES = ["standardwebhooks==1.0.0", "cloudevents==1.11.0", "confluent-kafka==2.6.1"]


def install():
    """Once for a machine."""
    done = CACHE / ("outside/" + "+".join(PACKAGES))
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", CACHE / "outside"], check=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        done.touch()
    if not (NODE / "node_modules/standardwebhooks").exists():
        NODE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "standardwebhooks@1.0.0"], cwd=NODE, check=True)


VERIFY_PY = """
import json, sys
from standardwebhooks.webhooks import Webhook
for line in sys.stdin:
    one = json.loads(line)
    Webhook(one["secret"]).verify(one["body"], one["headers"])
    print("verified")
"""
VERIFY_JS = """
const { Webhook } = require("standardwebhooks");
const lines = require("fs").readFileSync(0, "utf8").trim().split("\\n");
for (const line of lines) {
  const one = JSON.parse(line);
  new Webhook(one.secret).verify(one.body, one.headers);
  console.log("verified");
}
"""
PRODUCE = """
import sys
from cloudevents.http import CloudEvent
from cloudevents.kafka import to_binary, to_structured
from confluent_kafka import Producer
broker, topic = sys.argv[1:]
producer = Producer({"bootstrap.servers": broker, "partitioner": "murmur2_random"})
for mode, convert in (("binary", to_binary), ("structured", to_structured)):
    event = CloudEvent({"type": "order.created", "source": "/outside", "id": "outside-" + mode, "tenant": "acme",
                        "datacontenttype": "application/json", "partitionkey": "acme"}, {"mode": mode})
    message = convert(event)
    producer.produce(topic, key=message.key or "acme", value=message.value, headers=list(message.headers.items()))
assert producer.flush(30) == 0
"""


class Outside(Whole):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        install()
        cls.broker = Broker(cls.directory / "broker")

    @classmethod
    def tearDownClass(cls):
        cls.broker.close()
        super().tearDownClass()

    def started(self, environment):
        log = f"kafka://{self.broker.address}"
        done = run_tool("postrider-ops", "--log", log, "--environment", environment, "topics", "create", "--partitions", 2)
        self.assertEqual(done.code, 0, done)
        daemon = self.daemon(environment, log=log, environment=environment)
        self.assertEqual(run_tool("postrider-ops", "keys", "new", daemon.key).code, 0)
        daemon.start()
        daemon.wait_token()
        return daemon

    def test_official_packages_verify_and_produce(self):
        daemon = self.started("outside")
        binary, structured = self.receiver(), self.receiver()
        daemon.apply({"binary": (binary.url, {}), "structured": (structured.url, {"format": '"structured"'})})
        subprocess.run([PYTHON, "-c", PRODUCE, self.broker.address, "outside.postrider.events"], check=True, timeout=60)
        until(lambda: len(binary.ids()) == 2 and len(structured.ids()) == 2, 60, "events of another producer")
        self.assertEqual({json.loads(arrival["body"])["mode"] for arrival in binary.arrivals}, {"binary", "structured"})
        self.assertEqual({arrival["headers"]["ce-id"] for arrival in binary.arrivals},
                         {"outside-binary", "outside-structured"})
        lines = "".join(json.dumps({"secret": SECRET, "body": arrival["body"].decode(), "headers": {
            name: arrival["headers"][name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}}) + "\n"
            for arrival in binary.arrivals + structured.arrivals)
        for command, directory in (([PYTHON, "-c", VERIFY_PY], None), (["node", "-e", VERIFY_JS], NODE)):
            done = subprocess.run(command, input=lines, text=True, capture_output=True, cwd=directory, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout.split(), ["verified"] * 4)
            forged = lines.replace("outside", "0utside", 1).replace('\\"mode\\"', '\\"m0de\\"')
            refused = subprocess.run(command, input=forged, text=True, capture_output=True, cwd=directory, timeout=60)
            self.assertNotEqual(refused.returncode, 0, "a changed body must not verify")


if __name__ == "__main__":
    unittest.main(verbosity=2)
