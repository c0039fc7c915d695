#include "producers/http_publisher.h"

#include <curl/curl.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "engine/wire/cloud_event.h"
#include "producers/http_answer.h"
#include "producers/http_request.h"

namespace postrider::producers {
namespace {

HttpTarget target_of(const PublisherOptions& options) {
  return {options.to, options.token, options.ca_file, options.client_cert, options.client_key};
}

constexpr std::size_t kUnderWayMax = 16;
constexpr std::size_t kWaitingMax = 1000;
constexpr Millis kFirstRetryDelay{200};
constexpr Millis kRetryDelayMax{5'000};

using Clock = std::chrono::steady_clock;

struct Task {
  wire::HttpMessage message;
  Publisher::Done done;
  Clock::time_point deadline;
  Clock::time_point not_before;
  Millis retry_delay = kFirstRetryDelay;
};

// A thread of its own drives one curl multi. Tasks wait in `waiting_` (shared, under the mutex), and are then
// the thread's alone.
class HttpPublisher : public Publisher {
 public:
  explicit HttpPublisher(PublisherOptions options)
      : options_(std::move(options)), multi_(curl_multi_init()), worker_([this] { work(); }) {}

  ~HttpPublisher() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    curl_multi_wakeup(multi_);
    worker_.join();
    curl_multi_cleanup(multi_);
  }

  using Publisher::publish;
  void publish(Event event, Done done) override {
    if (auto checked = check_event(event, options_.environment); !checked) return done(fail(checked.error()));
    if (event.environment.empty()) event.environment = options_.environment.str();
    Task task{wire::encode_http(event), std::move(done), Clock::now() + options_.timeout, Clock::now()};
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return outstanding_ < kWaitingMax; });
      ++outstanding_;
      waiting_.push_back(std::move(task));
    }
    curl_multi_wakeup(multi_);
  }

  bool flush(Millis span) override {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, span, [this] { return outstanding_ == 0; });
  }

 private:
  struct Transfer {
    Task task;
    std::unique_ptr<HttpRequest> request;
  };

  void work() {
    while (!stopping()) {
      start_waiting();
      int running = 0;
      curl_multi_perform(multi_, &running);
      collect();
      curl_multi_poll(multi_, nullptr, 0, static_cast<int>(until_next_retry().count()), nullptr);
    }
    end_all();
  }

  bool stopping() {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  // Takes the first task that may go now. A task that waits for its retry does not hold up those behind it.
  std::optional<Task> take_due() {
    const std::lock_guard lock(mutex_);
    for (auto task = waiting_.begin(); task != waiting_.end(); ++task) {
      if (task->not_before > Clock::now()) continue;
      Task due = std::move(*task);
      waiting_.erase(task);
      return due;
    }
    return std::nullopt;
  }

  Millis until_next_retry() {
    const std::lock_guard lock(mutex_);
    auto next = Clock::now() + std::chrono::seconds(1);
    if (under_way_.size() < kUnderWayMax) {
      for (const auto& task : waiting_) next = std::min(next, task.not_before);
    }
    return std::max(Millis(0), std::chrono::ceil<Millis>(next - Clock::now()));
  }

  void start_waiting() {
    while (under_way_.size() < kUnderWayMax) {
      auto task = take_due();
      if (!task) return;
      const auto left = std::chrono::duration_cast<Millis>(task->deadline - Clock::now());
      auto request =
          std::make_unique<HttpRequest>(target_of(options_), "/v1/events", std::max(Millis(1), left));
      request->post(task->message.headers, task->message.body);
      auto* handle = request->handle();
      under_way_.emplace(handle, Transfer{*std::move(task), std::move(request)});
      curl_multi_add_handle(multi_, handle);
    }
  }

  void collect() {
    int left = 0;
    while (const auto* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      auto* handle = message->easy_handle;
      const auto result = message->data.result;
      curl_multi_remove_handle(multi_, handle);
      const auto found = under_way_.find(handle);
      auto transfer = std::move(found->second);
      under_way_.erase(found);
      finish(std::move(transfer), result);
    }
  }

  void finish(Transfer transfer, CURLcode result) {
    const auto answer = transfer.request->answer(result);
    const bool busy = answer && (answer->status == 429 || answer->status == 503);
    if (busy && retry(transfer.task, *answer)) return;
    transfer.task.done(answer ? read_published(*answer) : fail(answer.error()));
    end_one();
  }

  bool retry(Task& task, const HttpAnswer& answer) {
    const auto delay = answer.retry_after ? std::min(*answer.retry_after, Millis(30'000)) : task.retry_delay;
    task.retry_delay = std::min(task.retry_delay * 2, kRetryDelayMax);
    task.not_before = Clock::now() + delay;
    if (task.not_before >= task.deadline) return false;
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(task));
    return true;
  }

  void end_one() {
    const std::lock_guard lock(mutex_);
    --outstanding_;
    changed_.notify_all();
  }

  void end_all() {
    const auto gone =
        Error{Errc::unavailable, "PUBLISHER_CLOSED", "the publisher was closed before the answer came",
              "flush() before closing it; publish the event again under the same id"};
    for (auto& [handle, transfer] : under_way_) {
      curl_multi_remove_handle(multi_, handle);
      transfer.task.done(fail(gone));
      end_one();
    }
    under_way_.clear();
    std::deque<Task> rest;
    {
      const std::lock_guard lock(mutex_);
      rest.swap(waiting_);
    }
    for (auto& task : rest) {
      task.done(fail(gone));
      end_one();
    }
  }

  PublisherOptions options_;
  CURLM* multi_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> waiting_;
  std::size_t outstanding_ = 0;
  bool stopping_ = false;
  std::map<CURL*, Transfer> under_way_;  // the worker's alone
  std::thread worker_;                   // last: it uses all of the above
};

}  // namespace

Result<std::unique_ptr<Publisher>> open_http_publisher(PublisherOptions options) {
  while (options.to.ends_with('/')) options.to.pop_back();
  // A question that needs no token tells "nobody there" before the first event does.
  HttpTarget open_to_all = target_of(options);
  open_to_all.token.clear();
  HttpRequest probe(open_to_all, "/healthz", Millis(10'000));
  if (const auto answer = probe.perform(); !answer) return fail(answer.error());
  return std::make_unique<HttpPublisher>(std::move(options));
}

}  // namespace postrider::producers
