#pragma once
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Two ways to talk to a server under test: libcurl for what clients do, a bare socket for what they should
// not.
namespace postrider::test {

struct Reply {
  long status = 0;  // 0: no answer
  std::string head, body;
  nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
};

struct Ask {
  std::string method = "GET", url;
  std::vector<std::string> headers;
  std::string body;
  std::string ca_file;  // of a TLS server
  std::string client_cert = {}, client_key = {};
  long tls = CURL_SSLVERSION_DEFAULT;
};

inline Reply ask(const Ask& ask) {
  Reply reply;
  const auto append = +[](char* bytes, size_t size, size_t count, void* to) {
    static_cast<std::string*>(to)->append(bytes, size * count);
    return size * count;
  };
  CURL* curl = curl_easy_init();
  curl_slist* headers = nullptr;
  for (const auto& header : ask.headers) headers = curl_slist_append(headers, header.c_str());
  curl_easy_setopt(curl, CURLOPT_URL, ask.url.c_str());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, ask.method.c_str());
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  if (ask.method == "HEAD") curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
  if (!ask.body.empty()) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask.body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(ask.body.size()));
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, append);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &reply.head);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  if (!ask.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, ask.ca_file.c_str());
  if (!ask.client_cert.empty()) {
    curl_easy_setopt(curl, CURLOPT_SSLCERT, ask.client_cert.c_str());
    curl_easy_setopt(curl, CURLOPT_SSLKEY, ask.client_key.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, ask.tls);
  if (curl_easy_perform(curl) == CURLE_OK) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return reply;
}

// A TCP connection whose every byte is the test's.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error("connect failed");
  }
  ~RawClient() { close(); }
  RawClient(RawClient&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  RawClient(const RawClient&) = delete;

  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  // False: the peer has closed or reset.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  // What comes until `end` has come, or the peer closes, or nothing comes for ten seconds.
  std::string receive_until(std::string_view end) {
    std::string got;
    while (end.empty() || got.find(end) == std::string::npos) {
      pollfd waiting{socket_, POLLIN, 0};
      if (::poll(&waiting, 1, 10'000) <= 0) return got + "<silence>";
      char buffer[4096];
      const auto count = ::recv(socket_, buffer, sizeof buffer, 0);
      if (count <= 0) break;
      got.append(buffer, static_cast<std::size_t>(count));
    }
    return got;
  }
  std::string receive_all() { return receive_until(""); }
  std::string exchange(std::string_view request) {
    send(request);
    return receive_all();
  }

 private:
  int socket_;
};

}  // namespace postrider::test
