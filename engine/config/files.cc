#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/config/keys.h"

// The files that a start opens: `--check` would pass without them, and the start refuse.
namespace postrider::config {
namespace {

// As engine/crypto/private_file.cc judges it when it opens it, with its codes; what the file holds is judged
// there alone.
Result<void> check_key_file(const Config& config) {
  const auto path = config.keys.file();
  if (path.empty()) return {};
  struct stat found {};
  if (stat(path.c_str(), &found) != 0) {
    const int error = errno;
    if (error == ENOENT && config.development()) return {};  // the start makes one
    if (error == ENOENT)
      return fail(Errc::not_found, "KEY_FILE_MISSING", "keys.service: there is no key file " + path,
                  "restore it from your backup, or, where nothing was sealed yet, make one with: "
                  "postrider-ops keys new");
    return fail(Errc::unavailable, "KEY_FILE_UNREADABLE",
                "keys.service: cannot look at the key file " + path + ": " + std::strerror(error),
                "check that the path is right and that this user may use it");
  }
  const auto refuse = [&](const char* why, std::string remedy) -> Result<void> {
    return fail(Errc::denied, "KEY_FILE_PERMISSIONS", "keys.service: the key file " + path + why,
                std::move(remedy));
  };
  if (!S_ISREG(found.st_mode)) return refuse(" is not a regular file", "name a regular file of mode 0600");
  if (found.st_uid != geteuid())
    return refuse(" belongs to another user", "chown " + std::to_string(geteuid()) + " " + path +
                                                  ", or check as the user that the daemon runs as");
  if ((found.st_mode & 07177) != 0) return refuse(" can be used by others", "run: chmod 0600 " + path);
  return {};
}

Result<void> check_readable(const char* key, const std::string& path) {
  struct stat found {};
  const bool readable = path.empty() || (stat(path.c_str(), &found) == 0 && !S_ISDIR(found.st_mode) &&
                                         access(path.c_str(), R_OK) == 0);
  if (readable) return {};
  return fail(Errc::invalid, "INVALID_CONFIGURATION", std::string(key) + ": " + path + " cannot be read",
              "check the path and its permissions");
}

}  // namespace

Result<void> check_files(const Config& config) {
  if (auto done = check_key_file(config); !done) return done;
  const auto& credential = config.keys.credential;
  if (credential.starts_with("file:"))
    if (auto done = check_readable("keys.credential", credential.substr(5)); !done) return done;
  if (auto done = check_readable("keys.ca_file", config.keys.ca_file); !done) return done;
  if (auto done = check_readable("tls.cert", config.tls.cert); !done) return done;
  if (auto done = check_readable("tls.key", config.tls.key); !done) return done;
  if (auto done = check_readable("tls.client_ca", config.tls.client_ca); !done) return done;
  if (auto done = check_readable("oidc.ca_file", config.oidc.ca_file); !done) return done;
  return check_readable("delivery.ca_file", config.delivery.ca_file);
}

}  // namespace postrider::config
