#include "tests/curl/name_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

namespace postrider::test {

namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr unsigned kA = 1, kAaaa = 28;

void put16(std::string& out, unsigned value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value & 0xff));
}

unsigned byte_at(const std::string& text, std::size_t at) {
  return static_cast<unsigned char>(text.at(at));
}

// The question's name, dotted; `end` is left behind its type and class.
std::string question_name(const std::string& query, std::size_t& end) {
  std::string name;
  std::size_t at = kHeaderBytes;
  while (byte_at(query, at) != 0) {
    if (!name.empty()) name.push_back('.');
    name.append(query, at + 1, byte_at(query, at));
    at += 1 + byte_at(query, at);
  }
  end = at + 5;
  return name;
}

// The address's bytes if it is of the family that the type asks for.
std::string bytes_of(const std::string& address, unsigned type) {
  char bytes[16];
  const int family = type == kA ? AF_INET : AF_INET6;
  if (inet_pton(family, address.c_str(), bytes) != 1) return {};
  return std::string(bytes, type == kA ? 4 : 16);
}

}  // namespace

NameServer::NameServer() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0) std::abort();
  ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

NameServer::~NameServer() {
  stopping_ = true;
  ::shutdown(socket_, SHUT_RDWR);
  thread_.join();
  ::close(socket_);
}

void NameServer::set(const std::string& name, std::vector<std::string> addresses, std::uint32_t ttl_seconds) {
  const std::lock_guard lock(mutex_);
  records_[name] = Records{std::move(addresses), ttl_seconds};
}

std::vector<std::string> NameServer::names_asked() {
  const std::lock_guard lock(mutex_);
  return names_asked_;
}

void NameServer::serve() {
  char packet[1500];
  while (!stopping_) {
    pollfd readable{socket_, POLLIN, 0};
    if (::poll(&readable, 1, 50) <= 0) continue;
    sockaddr_in from{};
    socklen_t size = sizeof(from);
    const ssize_t got =
        ::recvfrom(socket_, packet, sizeof(packet), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (got < static_cast<ssize_t>(kHeaderBytes)) continue;
    ++queries_;
    const std::string answer = answer_to(std::string(packet, static_cast<std::size_t>(got)));
    if (!silent_)
      ::sendto(socket_, answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
  }
}

std::string NameServer::answer_to(const std::string& query) {
  std::size_t end = 0;
  const std::string name = question_name(query, end);
  const unsigned type = byte_at(query, end - 4) << 8 | byte_at(query, end - 3);
  const std::lock_guard lock(mutex_);
  names_asked_.push_back(name);
  const auto found = records_.find(name);
  std::string records;
  unsigned count = 0;
  if (found != records_.end()) {
    for (const std::string& address : found->second.addresses) {
      const std::string bytes = bytes_of(address, type);
      if (bytes.empty()) continue;
      put16(records, 0xc00c);  // the question's name
      put16(records, type);
      put16(records, 1);
      put16(records, found->second.ttl_seconds >> 16);
      put16(records, found->second.ttl_seconds & 0xffff);
      put16(records, static_cast<unsigned>(bytes.size()));
      records += bytes;
      ++count;
    }
  }
  std::string answer = query.substr(0, 2);
  put16(answer, 0x8180U | (found == records_.end() ? 3U : 0U));  // NXDOMAIN
  put16(answer, 1);
  put16(answer, count);
  put16(answer, 0);
  put16(answer, 0);
  return answer + query.substr(kHeaderBytes, end - kHeaderBytes) + records;
}

}  // namespace postrider::test
