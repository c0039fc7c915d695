#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include "engine/config/toml_file.h"

namespace postrider {
namespace config {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;
constexpr std::size_t kSecretBytesMax = 64 << 10;
constexpr std::string_view kKafkaSection = "kafka.";
constexpr std::string_view kTenantServices = "keys.tenants.";
constexpr std::string_view kFormerServices = "keys.former.";
constexpr std::string_view kKafkaVariable = "POSTRIDER_KAFKA_";

tl::unexpected<Error> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_CONFIGURATION", std::move(message), std::move(suggestion));
}

// nullopt: cannot be read, or is larger than `most`.
std::optional<std::string> read_file(const std::string& path, std::size_t most) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return std::nullopt;
  std::string content(most + 1, '\0');
  stream.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (stream.bad() || stream.gcount() > static_cast<std::streamsize>(most)) return std::nullopt;
  content.resize(static_cast<std::size_t>(stream.gcount()));
  return content;
}

// Variables of the tools and of tests: not ours to judge.
bool is_foreign_variable(std::string_view name) {
  static const std::set<std::string_view> kOthers = {"POSTRIDER_TOKEN", "POSTRIDER_TOKEN_FILE",
                                                     "POSTRIDER_API", "POSTRIDER_CONFIG"};
  return kOthers.contains(name) || name.starts_with("POSTRIDER_TEST_") || name.starts_with("POSTRIDER_OPS_");
}

std::string kafka_name(std::string_view variable) {
  std::string name(variable.substr(kKafkaVariable.size()));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return c == '_' ? '.' : static_cast<char>(std::tolower(c)); });
  return name;
}

class Loader {
 public:
  explicit Loader(const Variables& variables) : variables_(variables) {}

  Result<Config> run(const std::string& file) {
    std::vector<Setting> settings;
    if (!file.empty()) {
      auto text = read_file(file, kFileBytesMax);
      if (!text)
        return refuse(file + ": the configuration file cannot be read",
                      "check its path and permissions; it may hold 1 MiB at most");
      auto parsed = parse_toml(*text, file);
      if (!parsed) return fail(parsed.error());
      settings = std::move(*parsed);
      for (auto& setting : settings) setting.source = file + " " + setting.source;
    }
    if (auto done = take_all(settings); !done) return fail(done.error());
    if (auto done = take_variables(); !done) return fail(done.error());
    if (auto done = check_required(); !done) return fail(done.error());
    if (auto done = check_rules(config_); !done) return fail(done.error());
    if (auto done = check_files(config_); !done) return fail(done.error());
    config_.secret_variables.assign(referred_.begin(), referred_.end());
    return std::move(config_);
  }

 private:
  // The file's values that a variable replaces are judged all the same: a wrong file is wrong.
  Result<void> take_all(const std::vector<Setting>& settings) {
    for (const auto& setting : settings)
      if (auto done = take(setting); !done) return done;
    return {};
  }

  Result<void> take_variables() {
    std::vector<std::string> unknown;
    for (const auto& [name, text] : variables_) {
      // Empty is unset: that is how compose files and .env files leave a variable out.
      if (!name.starts_with("POSTRIDER_") || is_foreign_variable(name) || text.empty()) continue;
      Setting setting{
          {}, Value{.kind = Value::Kind::text, .text = text, .list = {}, .from_variable = true}, name};
      if (name.starts_with(kKafkaVariable))
        setting.name = std::string(kKafkaSection) + kafka_name(name);
      else if (const auto* key = key_of_variable(name))
        setting.name = key->name;
      else
        unknown.push_back(name);
      if (setting.name.empty()) continue;
      if (auto done = take(setting); !done) return done;
    }
    // Judged last: only now is it known which ones an `env:NAME` refers to.
    for (const auto& name : unknown)
      if (!referred_.contains(name)) return unknown_variable(name);
    return {};
  }

  static const Key* key_of_variable(std::string_view variable) {
    for (const auto& key : keys())
      if (variable_of(key.name) == variable) return &key;
    return nullptr;
  }

  static Result<void> unknown_variable(const std::string& name) {
    const auto nearest = nearest_variable(name);
    return refuse(name + ": there is no such key",
                  nearest.empty() ? "see .env.example for all of them" : "did you mean " + nearest + "?");
  }

  Result<void> take(const Setting& setting) {
    if (setting.name.starts_with(kKafkaSection)) return take_property(setting);
    if (setting.name.starts_with(kTenantServices))
      return take_key_service(config_.tenant_keys, kTenantServices, setting);
    if (setting.name.starts_with(kFormerServices))
      return take_key_service(config_.former_keys, kFormerServices, setting);
    const auto* key = find_key(setting.name);
    if (!key) {
      const auto nearest = nearest_key(setting.name);
      return refuse(setting.source + ": there is no key " + setting.name,
                    nearest.empty() ? "see .env.example for all of them" : "did you mean " + nearest + "?");
    }
    if (auto done = key->read(config_, setting.value); !done)
      return refuse(setting.source + ": " + setting.name + " " + done.error().wrong, done.error().right);
    config_.sources[setting.name] = setting.source;
    if (setting.name == "keys.credential") return take_credential(config_.keys, setting);
    return {};
  }

  // keys.tenants.TENANT.service, and the like: judged by the keys of the common one.
  Result<void> take_key_service(std::map<std::string, KeyServiceConfig>& services, std::string_view section,
                                const Setting& setting) {
    const auto rest = setting.name.substr(section.size());
    const auto dot = rest.find('.');
    const auto* key = dot == std::string::npos ? nullptr : find_key("keys." + rest.substr(dot + 1));
    if (key == nullptr || !is_tenant_or_endpoint_id(rest.substr(0, dot)))
      return refuse(setting.source + ": there is no key " + setting.name,
                    "write [" + std::string(section) + "NAME] with service, credential and ca_file");
    Config judged;
    KeyServiceConfig& service = services[rest.substr(0, dot)];
    std::swap(judged.keys, service);
    const auto done = key->read(judged, setting.value);
    std::swap(judged.keys, service);
    if (!done)
      return refuse(setting.source + ": " + setting.name + " " + done.error().wrong, done.error().right);
    config_.sources[setting.name] = setting.source;
    if (key->name == "keys.credential") return take_credential(service, setting);
    return {};
  }

  // A file is read when the service asks, since an agent may write it anew.
  Result<void> take_credential(KeyServiceConfig& service, const Setting& setting) {
    if (!service.credential.starts_with("env:")) return {};
    auto secret = resolve(service.credential, setting.source + ": " + setting.name);
    if (!secret) return fail(secret.error());
    service.credential_value = std::move(*secret);
    return {};
  }

  Result<void> take_property(const Setting& setting) {
    KafkaProperty property;
    property.name = setting.name.substr(kKafkaSection.size());
    property.secret = is_secret_property(property.name);
    const auto where = setting.source + ": " + setting.name;
    if (const auto why = reserved_property(property.name); !why.empty())
      return refuse(where + " is not free to set", std::string(why));
    std::string text;
    switch (setting.value.kind) {
      case Value::Kind::text:
        text = setting.value.text;
        break;
      case Value::Kind::integer:
        text = std::to_string(setting.value.integer);
        break;
      case Value::Kind::boolean:
        text = setting.value.boolean ? "true" : "false";
        break;
      default:
        return refuse(where + " is no string, number or boolean", "write it in quotes");
    }
    if (text.starts_with("env:") || text.starts_with("file:")) {
      auto secret = resolve(text, where);
      if (!secret) return fail(secret.error());
      property.value = std::move(*secret);
      property.reference = std::move(text);
    } else if (property.secret) {
      return refuse(where + " is a secret and stands there in the open",
                    "write \"env:NAME\" or \"file:PATH\", and change the secret that was written");
    } else {
      property.value = Secret(std::move(text));
    }
    config_.sources[setting.name] = setting.source;
    return put(std::move(property));
  }

  Result<void> put(KafkaProperty property) {
    auto at = std::lower_bound(config_.kafka.begin(), config_.kafka.end(), property.name,
                               [](const KafkaProperty& a, const std::string& name) { return a.name < name; });
    if (at != config_.kafka.end() && at->name == property.name)
      *at = std::move(property);
    else
      config_.kafka.insert(at, std::move(property));
    return {};
  }

  Result<Secret> resolve(const std::string& reference, const std::string& where) {
    const auto rest = reference.substr(reference.find(':') + 1);
    if (reference.starts_with("env:")) {
      referred_.insert(rest);
      const auto found = variables_.find(rest);
      if (found == variables_.end() || found->second.empty())
        return refuse(where + ": the variable " + rest + " is not set",
                      "export " + rest + " and start again");
      return Secret(found->second);
    }
    auto content = read_file(rest, kSecretBytesMax);
    if (!content)
      return refuse(where + ": " + rest + " cannot be read", "check the path and its permissions");
    while (content->ends_with('\n') || content->ends_with('\r')) content->pop_back();
    if (content->empty()) return refuse(where + ": " + rest + " is empty", "write the value into it");
    return Secret(std::move(*content));
  }

  Result<void> check_required() const {
    for (const auto& key : keys())
      if (key.required && key.print(config_).empty())
        return refuse(std::string(key.name) + " is not set",
                      "set it in the file or as " + variable_of(key.name) + ": " + std::string(key.help));
    return {};
  }

  const Variables& variables_;
  Config config_;
  std::set<std::string> referred_;  // variables named by env:NAME
};

}  // namespace
}  // namespace config

Variables variables_of(const char* const* environment_block) {
  Variables variables;
  for (; environment_block && *environment_block; ++environment_block) {
    const std::string_view entry(*environment_block);
    const auto equals = entry.find('=');
    if (equals != std::string_view::npos)
      variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return variables;
}

Result<Config> load(const std::string& file, const Variables& variables) {
  return config::Loader(variables).run(file);
}

}  // namespace postrider
