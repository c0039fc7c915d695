"""Operators who come in by an issuer of OpenID Connect: who does, who does not, and what the audit says of them."""
import json
import time
import unittest

from cases import Whole
from issuer import Issuer, Key, token
from kit import until


class Oidc(Whole):
    def setUp(self):
        super().setUp()
        self.issuer = Issuer(self.authority)
        self.closing.append(self.issuer.close)

    def started(self, more=""):
        table = (f'---\n[oidc]\nissuer = "{self.issuer.url}"\naudience = "postrider"\nca_file = "{self.authority.ca}"\n'
                 f'roles = ["platform=operator", "auditors=auditor", "root=admin"]\n{more}\n'
                 '[api]\naddress_rate = 0\nfailed_authentications = 0\n')
        daemon = self.daemon(extra=table).start()
        daemon.wait_token()
        return daemon

    @staticmethod
    def ask(daemon, token, path="/v1/endpoints", method="GET", body=None, headers=None):
        connection = daemon.connection()
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if text else None, dict(answer.getheaders())

    def test_an_operator_comes_in_and_no_attack_does(self):
        daemon = self.started()
        for key in range(3):
            self.assertEqual(self.ask(daemon, self.issuer.token(key))[0], 200, self.issuer.keys[key].algorithm)
        for name, attack in self.issuer.attacks().items():
            status, body, _ = self.ask(daemon, attack)
            self.assertEqual((status, body["code"]), (401, "AUTH_FAILED"), name)
            self.assertTrue(body["message"] and body["suggestion"], name)
        # What it may do is what its role means here, and no more.
        self.assertEqual(self.ask(daemon, self.issuer.token(), "/v1/tokens")[0], 403)
        self.assertEqual(self.ask(daemon, self.issuer.token(roles=["postrider-admin"]))[0], 403)
        self.assertEqual(self.ask(daemon, self.issuer.token(roles=None))[0], 403)
        # A token of ours works beside it.
        self.assertEqual(self.ask(daemon, daemon.token_file.read_text().strip())[0], 200)
        self.assertNotIn("eyJ", daemon.errors.read_text(), "no token in the log")

    def test_the_audit_names_the_subject_whoever_the_caller_says_it_is(self):
        daemon = self.started()
        place, body = "/v1/tenants/acme/endpoints/shop", {"url": "https://127.0.0.1:8443/hook", "types": ["order.*"]}
        as_mallory = {"Postrider-Actor": "mallory", "Idempotency-Key": "once"}
        made = self.ask(daemon, self.issuer.token(), place, "PUT", body, as_mallory)
        self.assertEqual(made[0], 201, made)
        # Another token of the same subject is the same bearer: what it asked once is not done twice.
        again = self.ask(daemon, self.issuer.token(nonce="other"), place, "PUT", body, as_mallory)
        self.assertEqual((again[0], again[1]), (201, made[1]))
        self.assertEqual({name.lower() for name in again[2]} & {"idempotent-replayed"}, {"idempotent-replayed"})
        auditor = self.issuer.token(roles=["auditors"], sub="grace")
        facts = until(lambda: self.ask(daemon, auditor, "/v1/audit?action=endpoint_created")[1]["audit"], 20,
                      "the audit")
        self.assertEqual({fact["actor"] for fact in facts}, {"ada@example.com"}, facts)

    def test_a_tenants_claim_binds_to_that_tenant(self):
        daemon = self.started('tenant_claim = "org.tenant"')
        admin = daemon.token_file.read_text().strip()
        for tenant in ("acme", "other"):
            self.ask(daemon, admin, f"/v1/tenants/{tenant}/endpoints/shop", "PUT",
                     {"url": "https://127.0.0.1:8443/hook", "types": ["*"]})
        listed = lambda **claims: self.ask(daemon, self.issuer.token(**claims))
        self.assertEqual([one["tenant"] for one in listed(org={"tenant": "acme"})[1]["endpoints"]], ["acme"])
        self.assertEqual(len(listed(org={"tenant": "*"})[1]["endpoints"]), 2)
        self.assertEqual(listed()[0], 401, "no claim is not the platform")
        self.assertEqual(self.ask(daemon, self.issuer.token(org={"tenant": "acme"}, roles=["root"]), "/v1/tenants")[0], 403)

    def test_new_keys_are_asked_for_and_invented_ones_cost_the_issuer_one_asking(self):
        daemon = self.started()
        self.assertEqual(self.ask(daemon, self.issuer.token())[0], 200)
        for n in range(50):
            # 401 once the issuer was asked; else it might be a key that is newer than what we know.
            status, body, _ = self.ask(daemon, token(Key("first"), self.issuer.claims(), {"kid": f"invented-{n}"}))
            self.assertIn((status, body["code"]), [(401, "AUTH_FAILED"), (503, "OIDC_UNAVAILABLE")])
            old = self.issuer.claims(iat=int(time.time()) - 120)
            self.assertEqual(self.ask(daemon, token(Key("first"), old, {"kid": f"invented-{n}"}))[0], 401)
        self.assertEqual(self.ask(daemon, self.issuer.token())[0], 200)
        self.assertLessEqual(self.issuer.requests.count("/ops/keys"), 2)

    def test_an_issuer_that_is_away_costs_its_tokens_alone(self):
        self.issuer.up = False
        daemon = self.started()
        begin = time.monotonic()
        status, body, headers = self.ask(daemon, self.issuer.token())
        self.assertEqual((status, body["code"], body["retryable"]), (503, "OIDC_UNAVAILABLE", True), body)
        self.assertEqual((headers["Retry-After"], body["retry_after"]), ("30", 30))
        self.assertLess(time.monotonic() - begin, 8)
        self.assertEqual(self.ask(daemon, daemon.token_file.read_text().strip())[0], 200)
        said = [line for line in daemon.lines() if line["operation"] == "issuer_unavailable"]
        self.assertEqual(len(said), 1)
        self.assertEqual(daemon.stop(), 0)
        # Up again, and away: the keys at hand go on.
        self.issuer.up = True
        daemon.start()
        self.assertEqual(self.ask(daemon, self.issuer.token())[0], 200)
        self.issuer.up = False
        time.sleep(0.6)  # what a token may do is remembered for half a second
        self.assertEqual(self.ask(daemon, self.issuer.token())[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
