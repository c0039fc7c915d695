"""Kafka as production has it: TLS, and SASL with SCRAM-SHA-512, at a second listener of the one real broker."""
import json
import secrets

from kit import Authority, run_tool, until
from outside_test import CACHE, install

USER, PASSWORD = "postrider", "right-" + secrets.token_hex(8)
WRONG = "wrong-" + secrets.token_hex(8)


class Secured:
    """Mixed into a Whole with a broker that was started with secure_listener()."""

    @classmethod
    def secure_listener(cls):
        pem = cls.directory / "broker.pem"
        pem.write_bytes(cls.authority.key.read_bytes() + cls.authority.cert.read_bytes())
        pem.chmod(0o600)
        return ["--secure", pem, f"{USER}={PASSWORD}"]

    def secured(self, **more):
        """Where it listens, and what [kafka] says then."""
        properties = {"security.protocol": "SASL_SSL", "sasl.mechanisms": "SCRAM-SHA-512", "sasl.username": USER,
                      "sasl.password": "env:KAFKA_PASSWORD", "ssl.ca.location": str(self.authority.ca),
                      "broker.address.family": "v4", **more}
        return f"kafka://localhost:{self.broker.ports()[0][2]}", properties

    @staticmethod
    def words(properties):
        return [word for name, value in properties.items() for word in ("-X", f"{name}={value}")]

    def secured_daemon(self, name, **more):
        log, properties = self.secured(**more)
        table = "".join(f'"{name}" = "{value}"\n' for name, value in properties.items())
        daemon = self.daemon(name, log=log, environment="guarded", extra="---\n[kafka]\n" + table)
        self.make_key(daemon)
        return daemon

    def newer_librdkafka(self):
        """One that can do SCRAM with Kafka 4, which Debian 12's cannot: it comes with confluent-kafka. As a user would
        have it in /usr/local, for the programs as they were built."""
        install()
        found, = (CACHE / "outside").glob("lib/python3*/site-packages/confluent_kafka.libs/librdkafka-*.so.1")
        place = self.place() / "lib"
        place.mkdir()
        (place / "librdkafka.so.1").symlink_to(found)
        return str(place)

    def deliver_one(self, env, **more):
        env = {"KAFKA_PASSWORD": PASSWORD, **env}
        log, properties = self.secured(**more)
        place = ("--log", log, "--environment", "guarded", *self.words(properties))
        done = run_tool("postrider-ops", *place, "topics", "create", "--partitions", 2, env=env)
        self.assertEqual(done.code, 0, done)
        daemon = self.secured_daemon("one", **more).start(env=env)
        daemon.wait_token()
        receiver = self.receiver()
        daemon.apply({"main": (receiver.url, {})})
        done = run_tool("postrider-publish", "--to", log, "--environment", "guarded", "--tenant", "acme", "--type",
                        "order.created", "--data", "-", "--json", *self.words(properties), env=env, stdin="{}")
        self.assertEqual(done.code, 0, done)
        until(receiver.delivered, 60, "the delivery")
        self.assertEqual(daemon.stop(), 0)
        done = run_tool("postrider-ops", *place, "--keys", f"file:{daemon.key}", "reconcile", "--json", env=env)
        self.assertEqual((done.code, json.loads(done.out.splitlines()[-1])["delivered"]), (0, 1), done)
        self.assertNotIn(PASSWORD, daemon.errors.read_text() + done.out + done.err)

    def refused(self, password, **more):
        """What each of the three says that a broker does not let in."""
        log, properties = self.secured(**more)
        env = {"KAFKA_PASSWORD": password}
        daemon = self.secured_daemon("refused", **more)
        place = ("--environment", "guarded", *self.words(properties))
        said = []
        for command in (["postriderd", "--config", daemon.config],
                        ["postrider-ops", "--log", log, *place, "topics", "check"],
                        ["postrider-publish", "--to", log, *place, "--tenant", "acme", "--type", "t", "--data", "-"]):
            done = run_tool(*command, env=env, stdin="{}")
            self.assertNotEqual(done.code, 0, done)
            self.assertNotIn(password, done.out + done.err)
            said.append(done.err)
        # The library's own lines come from its threads, and may come behind it.
        error = [line for line in map(json.loads, said[0].splitlines()) if "code" in line][-1]
        self.assertTrue(all(error[field] for field in ("message", "suggestion")), error)
        return error, said[1:]

    def test_events_go_over_tls_and_scram(self):
        self.deliver_one({"LD_LIBRARY_PATH": self.newer_librdkafka()})

    def test_a_wrong_password_is_refused_and_repeated_nowhere(self):
        error, others = self.refused(WRONG, **{"sasl.mechanisms": "PLAIN"})
        self.assertEqual(error["code"], "KAFKA_DENIED")
        self.assertIn("sasl", error["suggestion"])
        for said in others:
            self.assertIn("uthentication", said)

    def test_an_unknown_authority_of_the_broker_is_refused(self):
        elsewhere = self.place() / "elsewhere"
        elsewhere.mkdir()
        error, others = self.refused(PASSWORD, **{"ssl.ca.location": str(Authority(elsewhere).ca)})
        self.assertEqual(error["code"], "KAFKA_DENIED")
        for said in [error["message"], *others]:
            self.assertIn("certificate", said)

    def test_a_librdkafka_too_old_for_scram_with_kafka_4_is_named(self):
        error, _ = self.refused(PASSWORD)
        self.assertEqual(error["code"], "KAFKA_DENIED")
        self.assertIn("cannot do SCRAM with Kafka 4", error["suggestion"])
