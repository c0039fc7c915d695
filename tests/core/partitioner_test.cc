#include "engine/core/partitioner.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

// Known answers of Kafka's UtilsTest.testMurmur2.
TEST(Partitioner, HashesAsKafkaDoes) {
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("21")), -973932308);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("foobar")), -790332482);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("a-little-bit-long-string")), -985981536);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("a-little-bit-longer-string")), -1486304829);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8")),
            -58897971);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("abc")), 479470107);
}

TEST(Partitioner, DropsTheSignRatherThanNegating) {
  EXPECT_EQ(murmur2_partition("21", 12), static_cast<Partition>((-973932308 & 0x7fffffff) % 12));
  EXPECT_EQ(murmur2_partition("foobar", 4), static_cast<Partition>((-790332482 & 0x7fffffff) % 4));
}

TEST(Partitioner, PlacesEveryKeyAndBytesAbove127) {
  for (Partition partitions : {1, 4, 12}) {
    for (std::string_view key : {"", "a", "acme", "\xff\xfe\xfd\xfc\xfb", "\x80"}) {
      const Partition place = murmur2_partition(key, partitions);
      EXPECT_GE(place, 0);
      EXPECT_LT(place, partitions);
    }
  }
}

}  // namespace
}  // namespace postrider
