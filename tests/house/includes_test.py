#!/usr/bin/env python3
"""The include check finds what it must: otherwise its silence says nothing."""
import unittest

from includes import faults


def found(path, line):
    return list(faults(path, line + "\n"))


class Includes(unittest.TestCase):
    def test_core_must_not_see_ports(self):
        self.assertTrue(found("engine/core/x.h", '#include "engine/ports/log.h"'))

    def test_flow_must_not_see_an_adapter(self):
        self.assertTrue(found("engine/flow/x.cc", '#include "engine/kafka/kafka_log.h"'))

    def test_an_adapter_must_not_see_another(self):
        self.assertTrue(found("engine/kafka/x.cc", '#include "engine/rocks/rocks_store.h"'))

    def test_a_library_stays_in_its_room(self):
        self.assertTrue(found("engine/flow/x.cc", "#include <librdkafka/rdkafka.h>"))
        self.assertTrue(found("engine/api/x.cc", "  #  include <rocksdb/db.h>"))

    def test_consumers_see_nothing_of_ours(self):
        self.assertTrue(found("consumers/x.h", '#include "engine/core/ids.h"'))

    def test_inward_is_fine(self):
        self.assertFalse(found("engine/flow/x.cc", '#include "engine/ports/log.h"'))
        self.assertFalse(found("engine/main.cc", '#include "engine/kafka/kafka_log.h"'))


if __name__ == "__main__":
    unittest.main()
