#include "engine/api/server_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <utility>

namespace postrider {
namespace {

// Of TLS 1.2: those with forward secrecy and authenticated encryption. 1.3 has no others.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr unsigned char kSessionContext[] = "postrider";

tl::unexpected<Error> unusable(const std::string& what, const char* suggestion) {
  ERR_clear_error();
  return fail(Errc::invalid, "INVALID_CONFIGURATION", what, suggestion);
}

// A client without a certificate of these authorities ends in the handshake.
bool ask_for_certificates(SSL_CTX* context, const std::string& authorities) {
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(authorities.c_str());
  if (names == nullptr) return false;
  SSL_CTX_set_client_CA_list(context, names);  // takes them
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return SSL_CTX_load_verify_file(context, authorities.c_str()) == 1;
}

}  // namespace

void ServerTls::Free::operator()(SSL_CTX* context) const {
  SSL_CTX_free(context);
}

Result<ServerTls::Context> ServerTls::read(const Files& files) {
  Context context(SSL_CTX_new(TLS_server_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context.get(), kCiphers);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Sessions are resumed from tickets alone: a cache of ours would be filled by whoever connects. The keys of
  // the tickets end with the context, so that none outlives the authorities that it was judged by.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(context.get(), kSessionContext, sizeof kSessionContext - 1);
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.cert.c_str()) != 1)
    return unusable("tls.cert: " + files.cert + " is no readable PEM certificate", "check the path");
  if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1)
    return unusable("tls.key: " + files.key + " is no readable PEM key of that certificate",
                    "check the path, and that key and certificate belong together");
  if (!files.client_ca.empty() && !ask_for_certificates(context.get(), files.client_ca))
    return unusable("tls.client_ca: " + files.client_ca + " holds no readable PEM certificate",
                    "name the file of the authorities that sign your clients' certificates");
  return context;
}

ServerTls::Stamps ServerTls::stamps_of(const Files& files) {
  Stamps stamps{};
  std::size_t number = 0;
  for (const std::string* path : {&files.cert, &files.key, &files.client_ca}) {
    struct stat found {};
    auto& stamp = stamps[number++];
    if (stat(path->c_str(), &found) != 0) continue;
    stamp = {found.st_mtim.tv_sec, found.st_mtim.tv_nsec, static_cast<std::int64_t>(found.st_ino),
             found.st_size};
  }
  return stamps;
}

ServerTls::ServerTls(Files files, Context context, const Stamps& stamps)
    : files_(std::move(files)), context_(std::move(context)), read_(stamps), seen_(stamps) {}
ServerTls::~ServerTls() = default;

Result<std::unique_ptr<ServerTls>> ServerTls::open(Files files) {
  const Stamps stamps = stamps_of(files);  // before they are read: a change meanwhile is seen
  auto context = read(files);
  if (!context) return fail(context.error());
  return std::unique_ptr<ServerTls>(new ServerTls(std::move(files), *std::move(context), stamps));
}

SSL* ServerTls::session() const {
  return SSL_new(context_.get());
}

std::optional<Result<void>> ServerTls::look_again() {
  const Stamps now = stamps_of(files_);
  if (now == read_) return std::nullopt;
  if (std::exchange(seen_, now) != now) return std::nullopt;
  read_ = now;
  auto context = read(files_);
  if (!context) return Result<void>(fail(context.error()));
  context_ = *std::move(context);
  return Result<void>();
}

}  // namespace postrider
