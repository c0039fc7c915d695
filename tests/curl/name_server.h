#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

// A DNS server over UDP on a loopback port: the records that a test gives it, NXDOMAIN for other names, and
// silence on demand.
namespace postrider::test {

class NameServer {
 public:
  NameServer();
  ~NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // Addresses of either family.
  void set(const std::string& name, std::vector<std::string> addresses, std::uint32_t ttl_seconds);
  void be_silent(bool silent) { silent_ = silent; }
  std::size_t queries() const { return queries_; }
  std::vector<std::string> names_asked();

 private:
  struct Records {
    std::vector<std::string> addresses;
    std::uint32_t ttl_seconds;
  };
  void serve();
  std::string answer_to(const std::string& query);

  int socket_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false}, silent_{false};
  std::atomic<std::size_t> queries_{0};
  std::mutex mutex_;
  std::map<std::string, Records> records_;
  std::vector<std::string> names_asked_;
  std::thread thread_;
};

}  // namespace postrider::test
