#include "engine/api/server_tls.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "tests/api/tls_files.h"

namespace postrider::test {
namespace {

struct FreeTls {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* session) const { SSL_free(session); }
};
using Session = std::unique_ptr<SSL, FreeTls>;

// Ciphers, and the security level that refuses old versions by itself, are out of the way: what is left to
// refuse one is the least version that our context names.
void take_any_cipher(SSL* session) {
  SSL_set_security_level(session, 0);
  ASSERT_EQ(SSL_set_cipher_list(session, "ALL:@SECLEVEL=0"), 1);
}

// What a server of ours and a client of that one version agree on; empty: nothing.
std::string agreed(const ServerTls& tls, int version) {
  const Session server(tls.session());
  const std::unique_ptr<SSL_CTX, FreeTls> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_security_level(context.get(), 0);
  const Session client(SSL_new(context.get()));
  take_any_cipher(server.get());
  take_any_cipher(client.get());
  EXPECT_EQ(SSL_set_min_proto_version(client.get(), version), 1);
  EXPECT_EQ(SSL_set_max_proto_version(client.get(), version), 1);
  BIO *ours = nullptr, *theirs = nullptr;
  EXPECT_EQ(BIO_new_bio_pair(&ours, 0, &theirs, 0), 1);
  SSL_set_bio(server.get(), ours, ours);  // takes it
  SSL_set_bio(client.get(), theirs, theirs);
  SSL_set_accept_state(server.get());
  SSL_set_connect_state(client.get());
  for (int turn = 0; turn < 10; ++turn) {
    SSL_do_handshake(client.get());
    SSL_do_handshake(server.get());
  }
  const bool done = SSL_is_init_finished(client.get()) == 1 && SSL_is_init_finished(server.get()) == 1;
  return done ? SSL_get_version(server.get()) : "";
}

TEST(ServerTls, SpeaksTls12And13AndNothingOlderWhateverTheMachineAllows) {
  const TlsFiles files;
  const auto tls = ServerTls::open({.cert = files.cert(), .key = files.key(), .client_ca = {}});
  ASSERT_TRUE(tls) << tls.error().message;
  EXPECT_EQ(agreed(**tls, TLS1_VERSION), "");
  EXPECT_EQ(agreed(**tls, TLS1_1_VERSION), "");
  EXPECT_EQ(agreed(**tls, TLS1_2_VERSION), "TLSv1.2");
  EXPECT_EQ(agreed(**tls, TLS1_3_VERSION), "TLSv1.3");
}

}  // namespace
}  // namespace postrider::test
