#include <charconv>

#include "engine/config/config.h"

// Where things are: the log, the listener.
namespace postrider {
namespace {

constexpr std::string_view kKafka = "kafka://";
constexpr std::string_view kEmbedded = "embedded:";

tl::unexpected<Error> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_CONFIGURATION", std::move(message), std::move(suggestion));
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return port;
}

// "host:port" with a port above zero.
bool is_broker(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto host = text.substr(0, colon);
  if (host.find_first_of(" \t/@\\,\"'") != std::string_view::npos) return false;
  if (host.find(':') != std::string_view::npos && !(host.front() == '[' && host.back() == ']')) return false;
  const auto port = port_of(text.substr(colon + 1));
  return port && *port > 0;
}

bool are_brokers(std::string_view list) {
  while (true) {
    const auto comma = list.find(',');
    if (!is_broker(list.substr(0, comma))) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace

Result<LogPlace> parse_log_place(std::string_view text) {
  if (text.starts_with(kKafka)) {
    const auto brokers = text.substr(kKafka.size());
    if (!are_brokers(brokers))
      return refuse("names no brokers that can be reached", "write \"kafka://host:port,host:port\"");
    return LogPlace{LogPlace::Kind::kafka, std::string(brokers), {}};
  }
  if (text.starts_with(kEmbedded) && text.size() > kEmbedded.size())
    return LogPlace{LogPlace::Kind::embedded, {}, std::string(text.substr(kEmbedded.size()))};
  return refuse("names no log", "write \"kafka://host:port,host:port\" or \"embedded:DIR\"");
}

std::string format_log_place(const LogPlace& place) {
  switch (place.kind) {
    case LogPlace::Kind::kafka:
      return std::string(kKafka) + place.brokers;
    case LogPlace::Kind::embedded:
      return std::string(kEmbedded) + place.directory;
    case LogPlace::Kind::none:
      break;
  }
  return {};
}

bool ListenAddress::loopback() const {
  if (host == "localhost") return true;
  const auto ip = parse_ip(host);
  if (!ip) return false;
  return ip->v6 ? host == "::1" : ip->bytes[0] == 127;
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const auto refusal = [] {
    return refuse("is no address to listen on",
                  "write an IP address and a port, as in \"127.0.0.1:8080\" or \"[::1]:8080\"");
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return refusal();
  auto host = text.substr(0, colon);
  const auto port = port_of(text.substr(colon + 1));
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto ip = parse_ip(host);
  if (!port || (!ip && host != "localhost") || (ip && ip->v6 != bracketed)) return refusal();
  return ListenAddress{std::string(host), *port};
}

std::string format_listen_address(const ListenAddress& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

}  // namespace postrider
