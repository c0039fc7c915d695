#!/usr/bin/env python3
"""ops/sbom of what was built: nothing that a program loads is missing, and it is CycloneDX 1.5 as far as that can be told
from the format's own rules. What is loaded is found another way than the command finds it: by the entries of the programs
and of their libraries, through the loader's cache.

Run as: sbom_test.py PATH/OF/BUILD."""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/release"
PROGRAMS = ["postriderd", "postrider-ops", "postrider-publish", "postrider-receive"]


def run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def bill_of(build, *programs):
    return json.loads(run(ROOT / "ops/sbom", "--build", build, *programs))


def libraries_of(program):
    """Real paths of all that it needs, and that these need."""
    cache = re.findall(r"^\s+(\S+) \(libc6,x86-64.*\) => (\S+)$", run("/sbin/ldconfig", "-p"), re.M)
    places = {name: os.path.realpath(path) for name, path in reversed(cache)}
    found, todo = set(), [program]
    while todo:
        for name in re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-d", todo.pop())):
            if places[name] not in found:
                found.add(places[name])
                todo.append(places[name])
    return found


def packages_of(paths):
    """path -> (name, version) of the package that brought it, whichever spelling of /lib it lists. One search for all:
    each reads every package's list."""
    owners = {}
    for line in run("dpkg", "-S", *("*/" + os.path.basename(path) for path in sorted(paths))).splitlines():
        package, _, listed = line.partition(": ")
        owners[os.path.realpath(listed)] = package
    return {path: tuple(run("dpkg-query", "-W", "-f", "${Package} ${Version}", owners[path]).split()) for path in paths}


class Sbom(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bill = bill_of(BUILD)
        cls.parts = {part["bom-ref"]: part for part in cls.bill["components"]}
        cls.needs = {edge["ref"]: edge["dependsOn"] for edge in cls.bill["dependencies"]}

    def test_names_the_package_of_each_library_that_a_program_loads(self):
        loaded = {program: libraries_of(BUILD / program) for program in PROGRAMS}
        packages = packages_of(set().union(*loaded.values()))
        for program, paths in loaded.items():
            told = {(self.parts[ref]["name"], self.parts[ref]["version"]) for ref in self.needs[program]}
            self.assertGreater(len(paths), 3)
            self.assertEqual({packages[path] for path in paths} - told, set(), program)

    def test_knows_the_programs_by_their_bytes_and_what_they_are_made_of_by_their_headers(self):
        for program in PROGRAMS:
            digest = hashlib.sha256((BUILD / program).read_bytes()).hexdigest()
            self.assertEqual(self.parts[program]["hashes"], [{"alg": "SHA-256", "content": digest}])
        daemon = {self.parts[ref]["name"] for ref in self.needs["postriderd"]}
        self.assertLessEqual({"nlohmann-json3-dev", "libtoml11-dev", "libcli11-dev", "libabsl-dev"}, daemon)

    def test_is_cyclonedx(self):
        """https://cyclonedx.org/docs/1.5/json: what it requires, and no property that it does not know."""
        bill = self.bill
        self.assertEqual(set(bill), {"bomFormat", "specVersion", "serialNumber", "version", "metadata", "components",
                                     "dependencies"})
        self.assertEqual((bill["bomFormat"], bill["specVersion"], bill["version"]), ("CycloneDX", "1.5", 1))
        self.assertRegex(bill["serialNumber"], r"^urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")
        self.assertRegex(bill["metadata"]["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(set(bill["metadata"]), {"timestamp", "component"})
        for part in [bill["metadata"]["component"], *bill["components"]]:
            self.assertLessEqual({"type", "name", "bom-ref"}, part.keys())
            self.assertLessEqual(part.keys(), {"type", "bom-ref", "name", "version", "purl", "supplier", "scope", "hashes",
                                               "properties", "externalReferences", "components"})
            self.assertIn(part["type"], ("application", "library"))
            self.assertIn(part.get("scope", "required"), ("required", "excluded"))
            for digest in part.get("hashes", []):
                self.assertRegex(digest["content"], r"^[0-9a-f]{64}$")
            for word in part.get("properties", []):
                self.assertEqual(set(word), {"name", "value"})
            for link in part.get("externalReferences", []):
                self.assertEqual(link["type"], "website")
                self.assertRegex(link["url"], r"^https?://\S+$")
        self.assertEqual(len(self.parts), len(bill["components"]), "a bom-ref stands twice")
        for ref, needed in self.needs.items():
            self.assertEqual(len(needed), len(set(needed)))
            self.assertLessEqual({ref, *needed}, self.parts.keys())

    def test_spells_package_urls_as_others_read_them(self):
        """https://github.com/package-url/purl-spec: a plus sign is written as %2B."""
        for part in self.parts.values():
            if "purl" in part:
                self.assertRegex(part["purl"], r"^pkg:deb/debian/[A-Za-z0-9.%-]+@[A-Za-z0-9.:~%-]+\?arch=(amd64|arm64|all)$")

    def test_says_the_same_of_the_same_build(self):
        self.assertEqual(self.bill, bill_of(BUILD))

    def test_a_library_of_no_package_is_not_passed_over(self):
        with tempfile.TemporaryDirectory() as folder:
            place = pathlib.Path(folder).resolve()
            (place / "stray.c").write_text("int stray(void) { return 0; }\n")
            (place / "main.c").write_text("int stray(void);\nint main(void) { return stray(); }\n")
            run("cc", "-shared", "-fPIC", "-o", place / "libstray.so", place / "stray.c")
            run("cc", "-o", place / "program", place / "main.c", place / "libstray.so", f"-Wl,-rpath,{place}")
            bill = bill_of(place, "program")
            told, = (part for part in bill["components"] if part["name"] == "libstray.so")
            self.assertEqual(told["hashes"][0]["content"], hashlib.sha256((place / "libstray.so").read_bytes()).hexdigest())
            self.assertIn(told["bom-ref"], bill["dependencies"][0]["dependsOn"])

    def test_a_program_that_is_not_built_is_named(self):
        done = subprocess.run([ROOT / "ops/sbom", "--build", BUILD, "postrider-nothing"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("postrider-nothing is not there", done.stderr)


if __name__ == "__main__":
    BUILD = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
