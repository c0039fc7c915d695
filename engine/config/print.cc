#include <algorithm>

#include "engine/config/keys.h"

namespace postrider {
namespace {

std::string source_of(const Config& config, std::string_view key) {
  const auto found = config.sources.find(std::string(key));
  return found == config.sources.end() ? "default" : found->second;
}

// A table's header when the key's section differs from the last one's.
void enter_section(std::string& out, std::string& section, std::string_view key) {
  const auto dot = key.rfind('.');
  const std::string here(dot == std::string_view::npos ? std::string_view() : key.substr(0, dot));
  if (here == section) return;
  section = here;
  out += "\n[" + section + "]\n";
}

void print_line(std::string& out, std::string_view name, std::string_view value, const std::string& source) {
  std::string line = std::string(name) + " = " + std::string(value);
  if (line.size() < 56) line.resize(56, ' ');
  out += line + "  # " + source + "\n";
}

// A secret's reference tells where it is; a literal one (from a variable) is only named.
std::string shown(const KafkaProperty& property) {
  if (!property.reference.empty()) return config::quoted(property.reference);
  return property.secret ? "\"(hidden)\"" : config::quoted(property.value.reveal());
}

void print_key_services(std::string& out, const Config& config, const std::string& section,
                        const std::map<std::string, KeyServiceConfig>& services) {
  for (const auto& [name, service] : services) {
    const auto table = section + name;
    out += "\n[" + table + "]\n";
    print_line(out, "service", config::quoted(service.service), source_of(config, table + ".service"));
    if (!service.credential.empty())
      print_line(out, "credential", config::quoted(service.credential),
                 source_of(config, table + ".credential"));
    if (!service.ca_file.empty())
      print_line(out, "ca_file", config::quoted(service.ca_file), source_of(config, table + ".ca_file"));
  }
}

}  // namespace

std::string print(const Config& config) {
  std::string out = "# The effective configuration: each value with its source.\n", section;
  for (const auto& key : config::keys()) {
    const auto value = key.print(config);
    if (value.empty()) continue;
    enter_section(out, section, key.name);
    print_line(out, key.name.substr(key.name.rfind('.') + 1), value, source_of(config, key.name));
  }
  print_key_services(out, config, "keys.tenants.", config.tenant_keys);
  print_key_services(out, config, "keys.former.", config.former_keys);
  if (!config.kafka.empty()) out += "\n[kafka]\n";
  for (const auto& property : config.kafka)
    print_line(out, config::quoted(property.name), shown(property),
               source_of(config, "kafka." + property.name));
  return out;
}

std::string env_example() {
  std::string out =
      "# Every key of postriderd's configuration as a variable. A variable beats the file; lists go by "
      "comma.\n"
      "# Lines that begin with \"#POSTRIDER\" show defaults. Copy to .env and change what you need.\n"
      "# The daemon does not read .env itself: `set -a; . ./.env; set +a` before its start, or systemd's\n"
      "# EnvironmentFile=.\n";
  const Config defaults;
  for (const auto& key : config::keys()) {
    out += "\n# " + std::string(key.help) + (key.required ? " Required." : "") + "\n";
    auto value = key.print(defaults);
    std::erase(value, '"');
    if (value.starts_with('[')) value = value.substr(1, value.size() - 2);
    out += (key.required ? "" : "#") + config::variable_of(key.name) + "=" + value + "\n";
  }
  out +=
      "\n# Any property of librdkafka: dots become underscores. Secrets only as env:NAME or file:PATH.\n"
      "#POSTRIDER_KAFKA_SECURITY_PROTOCOL=SASL_SSL\n"
      "#POSTRIDER_KAFKA_SASL_PASSWORD=file:/run/secrets/kafka-password\n"
      "\n# Read by the tools, not by the daemon: the token for the HTTP API.\n"
      "#POSTRIDER_TOKEN=\n";
  return out;
}

}  // namespace postrider
