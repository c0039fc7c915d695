#pragma once
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace postrider::test {

// A self-signed certificate of 127.0.0.1 and its key, made anew, gone at the end.
class TlsFiles {
 public:
  TlsFiles() {
    std::string pattern = std::filesystem::temp_directory_path() / "api_tls_XXXXXX";
    directory_ = mkdtemp(pattern.data());
    const auto command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout " +
        key() + " -out " + cert() + " >/dev/null 2>&1";
    if (std::system(command.c_str()) != 0) std::abort();
  }
  ~TlsFiles() { std::filesystem::remove_all(directory_); }
  std::string cert() const { return directory_ / "cert.pem"; }
  std::string key() const { return directory_ / "key.pem"; }

 private:
  std::filesystem::path directory_;
};

}  // namespace postrider::test
