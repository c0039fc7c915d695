#pragma once
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <string>

namespace postrider::test {

// A self-signed certificate of 127.0.0.1 and its key, made anew, gone at the end. It is an authority too,
// which has signed one client's certificate.
class TlsFiles {
 public:
  TlsFiles() {
    std::string pattern = std::filesystem::temp_directory_path() / "api_tls_XXXXXX";
    directory_ = mkdtemp(pattern.data());
    const std::string key_kind = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes ";
    run("openssl req -x509 " + key_kind +
        "-days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout " + key() + " -out " +
        cert());
    run("openssl req " + key_kind + "-subj /CN=client -keyout " + client_key() + " -out " + request());
    run("openssl x509 -req -days 2 -in " + request() + " -CA " + cert() + " -CAkey " + key() +
        " -CAcreateserial -out " + client_cert());
  }
  ~TlsFiles() { std::filesystem::remove_all(directory_); }
  std::string cert() const { return directory_ / "cert.pem"; }
  std::string key() const { return directory_ / "key.pem"; }
  std::string client_cert() const { return directory_ / "client.pem"; }
  std::string client_key() const { return directory_ / "client-key.pem"; }

  std::string copy_of_cert() const {
    const auto copy = directory_ / "copy.pem";
    std::filesystem::copy_file(cert(), copy);
    return copy;
  }
  // Other bytes under the same names, put there whole, as a renewal does.
  void become(const TlsFiles& other) const {
    for (const auto& [from, to] : {std::pair{other.cert(), cert()}, {other.key(), key()}}) {
      std::filesystem::copy_file(from, to + ".new");
      std::filesystem::rename(to + ".new", to);
    }
  }

 private:
  std::string request() const { return directory_ / "client.csr"; }
  static void run(const std::string& command) {
    if (std::system((command + " >/dev/null 2>&1").c_str()) != 0) std::abort();
  }

  std::filesystem::path directory_;
};

}  // namespace postrider::test
