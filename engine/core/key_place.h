#pragma once
#include <string>
#include <string_view>

#include "engine/core/result.h"

namespace postrider {

// Where the key lies that wraps all others, as the configuration names it:
//   file:PATH                                   a key file
//   vault:https://HOST:PORT/MOUNT/KEY           a key of Vault's (or OpenBao's) transit engine
//   pkcs11:token=LABEL;object=KEY?module-path=… a key in a PKCS#11 token (RFC 7512)
struct KeyPlace {
  enum class Kind { none, file, vault, pkcs11 };
  Kind kind = Kind::none;
  std::string text;    // as it was written
  std::string path;    // file
  std::string origin;  // vault: "https://vault.internal:8200"
  std::string mount;   // vault: "transit"
  std::string key;     // vault
  bool plain_http = false;
  bool loopback = false;  // vault: its host is a loopback address, or "localhost"
};
// Errc::invalid, with what is wrong as the end of a sentence. A PKCS#11 URI is judged by its adapter.
Result<KeyPlace> parse_key_place(std::string_view text);

// Refuses plain HTTP, but for loopback in development (`development`).
Result<void> check_key_place(const KeyPlace& place, bool development);

}  // namespace postrider
