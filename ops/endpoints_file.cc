#include "ops/endpoints_file.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <toml.hpp>

#include "engine/core/utf8.h"
#include "ops/output.h"
#include "ops/references.h"

namespace postrider::ops {
namespace {

constexpr std::size_t kFileBytesMax = 8 << 20;

Error wrong(const std::string& where, const std::string& what, std::string suggestion) {
  return {Errc::invalid, "INVALID_ENDPOINTS_FILE", where + ": " + what, std::move(suggestion)};
}

Error secret_in_file(const std::string& where) {
  return {Errc::invalid, "SECRET_IN_FILE", where + ": a signing secret stands in the file",
          "write secrets = [\"env:NAME\"] or [\"file:PATH\"], and change the secret that stood there"};
}

bool looks_like_a_secret(const std::string& text) {
  return text.find("whsec_") != std::string::npos || text.find("whsk_") != std::string::npos;
}

// Reads one table key by key, and then refuses what nobody asked for. The first thing that is wrong is kept.
class Fields {
 public:
  Fields(const toml::value& table, std::string file, std::string prefix)
      : table_(table), file_(std::move(file)), prefix_(std::move(prefix)) {}

  std::optional<std::string> text(const char* name) {
    const auto* value = member(name);
    if (!value) return std::nullopt;
    if (value->is_string()) return value->as_string().str;
    refuse(*value, name, "is not a string", "put it in quotes");
    return std::nullopt;
  }
  std::string needed(const char* name) {
    auto value = text(name);
    if (value && !value->empty()) return *std::move(value);
    if (!missing_)
      missing_ =
          wrong(place(table_), prefix_ + name + " is missing", std::string("write ") + name + " = \"…\"");
    return {};
  }
  // A list of strings, or one string.
  std::optional<std::vector<std::string>> texts(const char* name) {
    const auto* value = member(name);
    if (!value) return std::nullopt;
    if (value->is_string()) return std::vector<std::string>{value->as_string().str};
    std::vector<std::string> texts;
    if (value->is_array())
      for (const auto& element : value->as_array())
        if (element.is_string()) texts.push_back(element.as_string().str);
    if (value->is_array() && texts.size() == value->as_array().size()) return texts;
    refuse(*value, name, "is no list of strings", "write [\"…\", \"…\"]");
    return std::nullopt;
  }
  std::optional<std::int64_t> count(const char* name) {
    const auto* value = member(name);
    if (!value) return std::nullopt;
    if (value->is_integer()) return value->as_integer();
    refuse(*value, name, "is no whole number", "write a number without quotes");
    return std::nullopt;
  }
  std::optional<double> number(const char* name) {
    const auto* value = member(name);
    if (!value) return std::nullopt;
    if (value->is_integer()) return static_cast<double>(value->as_integer());
    if (value->is_floating()) return value->as_floating();
    refuse(*value, name, "is no number", "write a number without quotes");
    return std::nullopt;
  }
  const toml::value* table(const char* name) {
    const auto* value = member(name);
    if (!value || value->is_table()) return value;
    refuse(*value, name, "is no table", std::string("write ") + name + " = { … }");
    return nullptr;
  }
  const toml::array* tables(const char* name) {
    const auto* value = member(name);
    if (!value) return nullptr;
    const bool good = value->is_array() && std::all_of(value->as_array().begin(), value->as_array().end(),
                                                       [](const auto& each) { return each.is_table(); });
    if (good) return &value->as_array();
    refuse(*value, name, "is no list of tables", std::string("write [[") + name + "]] before each");
    return nullptr;
  }

  void fail_with(Error error) {
    if (!error_) error_ = std::move(error);
  }
  std::string place(const toml::value& value) const {
    return file_ + " line " + std::to_string(value.location().line());
  }
  Result<void> done() {
    const std::vector<std::string> known(asked_.begin(), asked_.end());
    for (const auto& [name, value] : table_.as_table()) {
      if (asked_.contains(name)) continue;
      const auto meant = did_you_mean(name, known);
      fail_with(wrong(
          place(value), "there is no such key here: " + prefix_ + name.substr(0, 64),
          (meant.empty() ? "correct its spelling or take it out;" : meant) + " there are: " + listed(known)));
    }
    // Last: what is missing is often there, and misspelt.
    if (!error_) error_ = std::move(missing_);
    if (error_) return fail(*std::move(error_));
    return {};
  }

 private:
  const toml::value* member(const char* name) {
    asked_.insert(name);
    const auto& table = table_.as_table();
    const auto found = table.find(name);
    return found == table.end() ? nullptr : &found->second;
  }
  void refuse(const toml::value& value, const char* name, const char* what, std::string suggestion) {
    fail_with(wrong(place(value), prefix_ + name + " " + what, std::move(suggestion)));
  }

  const toml::value& table_;
  const std::string file_, prefix_;
  std::set<std::string> asked_;
  std::optional<Error> error_, missing_;
};

// Before anything else: whatever is wrong with the file, a secret in it is what matters.
std::optional<Error> find_secret(const toml::value& value, const std::string& file) {
  if (value.is_string() && looks_like_a_secret(value.as_string().str))
    return secret_in_file(file + " line " + std::to_string(value.location().line()));
  if (value.is_array())
    for (const auto& element : value.as_array())
      if (auto error = find_secret(element, file)) return error;
  if (value.is_table())
    for (const auto& [name, element] : value.as_table()) {
      if (looks_like_a_secret(name))
        return secret_in_file(file + " line " + std::to_string(element.location().line()));
      if (auto error = find_secret(element, file)) return error;
    }
  return std::nullopt;
}

Result<EndpointDeclaration> read_endpoint(const toml::value& table, const std::string& file) {
  Fields fields(table, file, "endpoint.");
  EndpointDeclaration endpoint;
  endpoint.place = fields.place(table);
  endpoint.tenant = fields.needed("tenant");
  endpoint.id = fields.needed("id");
  endpoint.url = fields.needed("url");
  endpoint.types = fields.texts("types");
  endpoint.retry = fields.texts("retry");
  endpoint.scheme = fields.text("scheme");
  endpoint.format = fields.text("format");
  endpoint.secrets = fields.texts("secrets").value_or(std::vector<std::string>{});
  if (!std::all_of(endpoint.secrets.begin(), endpoint.secrets.end(), is_reference))
    fields.fail_with({Errc::invalid, "SECRET_IN_FILE",
                      endpoint.place + ": endpoint.secrets holds what is no reference",
                      "write \"env:NAME\" or \"file:PATH\"; if a secret stood there, change it"});
  if (const auto* limits = fields.table("limits")) {
    Fields members(*limits, file, "endpoint.limits.");
    endpoint.limits.concurrency = members.count("concurrency");
    endpoint.limits.queue_max = members.count("queue_max");
    endpoint.limits.rate_per_second = members.number("rate_per_second");
    if (auto done = members.done(); !done) fields.fail_with(done.error());
  }
  for (const auto* id : {&endpoint.tenant, &endpoint.id})
    if (!id->empty() && !is_tenant_or_endpoint_id(*id))
      fields.fail_with(
          wrong(endpoint.place, "tenant or id is no id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -"));
  if (auto done = fields.done(); !done) return fail(done.error());
  return endpoint;
}

Result<EndpointsFile> read_root(const toml::value& root, const std::string& name) {
  if (auto error = find_secret(root, name)) return fail(*std::move(error));
  Fields fields(root, name, "");
  EndpointsFile file;
  file.environment = fields.needed("environment");
  const auto* tables = fields.tables("endpoint");
  if (auto done = fields.done(); !done) return fail(done.error());
  if (!is_environment_name(file.environment))
    return fail(wrong(name, "environment is no name of one",
                      "use a lower-case letter and then up to 31 of a-z, 0-9 and -, as in \"production\""));
  std::set<std::pair<std::string, std::string>> seen;
  for (std::size_t i = 0; tables && i < tables->size(); ++i) {
    auto endpoint = read_endpoint((*tables)[i], name);
    if (!endpoint) return fail(endpoint.error());
    if (!seen.emplace(endpoint->tenant, endpoint->id).second)
      return fail(wrong(endpoint->place,
                        "the endpoint " + endpoint->tenant + "/" + endpoint->id + " is declared twice",
                        "take one of them out"));
    file.endpoints.push_back(*std::move(endpoint));
  }
  return file;
}

Result<EndpointsFile> read_endpoints(std::istream& file, const std::string& name) {
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.eof() || file.bad())
    return fail(
        wrong(name, "the file cannot be read", "check its path and permissions; it may hold 8 MiB at most"));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse_endpoints_file(text, name);
}

}  // namespace

Result<EndpointsFile> parse_endpoints_file(const std::string& text, const std::string& name) {
  // toml11's own messages quote the line, which may hold a secret that should not be there: only the line's
  // number is taken from them.
  const auto broken = [](const std::string& where) {
    return fail(wrong(where, "this is not TOML",
                      "mend that line; strings stand in quotes, endpoints under [[endpoint]]"));
  };
  // toml11 3.7.1 reads beyond its buffer where a string is not UTF-8.
  if (!is_utf8(text)) return broken(name);
  try {
    std::istringstream stream(text);
    return read_root(toml::parse(stream, name), name);
  } catch (const toml::exception& error) {
    return broken(name + " line " + std::to_string(error.location().line()));
  } catch (const std::exception&) {
    return broken(name);
  }
}

Result<EndpointsFile> read_endpoints_file(const std::string& path) {
  if (path == "-") return read_endpoints(std::cin, "standard input");
  std::ifstream file(path, std::ios::binary);
  return read_endpoints(file, path);
}

}  // namespace postrider::ops
