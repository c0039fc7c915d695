#include "engine/embedded/embedded_client.h"

#include <future>
#include <utility>

namespace postrider::embedded {
namespace {

struct Waiter : AppendSink {
  std::promise<Appended> answer;
  void answered(std::uint64_t, std::size_t, Appended appended) override {
    answer.set_value(std::move(appended));
  }
};

Result<void> check(const Storage& storage, Place place) {
  if (storage.has(place)) return {};
  return fail(Errc::not_found, "NO_SUCH_PARTITION", "the embedded log has no partition " + describe(place),
              "ask for one of its " + std::to_string(storage.partitions(place.topic)));
}

}  // namespace

Result<LogClient::Extent> EmbeddedClient::extent(Topic topic, Partition partition) {
  return check(storage_, {topic, partition}).map([&] { return storage_.extent({topic, partition}); });
}

Result<Offset> EmbeddedClient::offset_at(Topic topic, Partition partition, LogTime time) {
  return check(storage_, {topic, partition}).and_then([&] {
    return storage_.offset_at({topic, partition}, time);
  });
}

Result<void> EmbeddedClient::scan(Topic topic, Partition partition, Offset from, Offset to,
                                  const std::function<bool(const Record&)>& each) {
  return check(storage_, {topic, partition}).and_then([&] {
    return storage_.scan({topic, partition}, from, to, [&](const Record& record) { return each(record); });
  });
}

Result<Record> EmbeddedClient::fetch(Topic topic, Partition partition, Offset offset) {
  return storage_.get({topic, partition}, offset);
}

Result<Appended> EmbeddedClient::append(NewRecord record) {
  const auto partition = place_of(storage_, limits_, record);
  if (!partition) return refused(partition.error());
  // Shared with the request: whoever lets go last.
  const auto waiter = std::make_shared<Waiter>();
  auto answer = waiter->answer.get_future();
  const std::size_t bytes = bytes_of(record);
  writer_.ask(LogWriter::Append{std::move(record), *partition, waiter, 0, bytes});
  return answer.get();
}

}  // namespace postrider::embedded
