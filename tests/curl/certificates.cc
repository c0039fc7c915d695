#include "tests/curl/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace postrider::test {

namespace {

void extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (extension == nullptr) std::abort();
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509* make_certificate(EVP_PKEY* key, const char* common_name, long not_before, long not_after) {
  static long serial = 1;
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), not_before);
  X509_gmtime_adj(X509_getm_notAfter(certificate), not_after);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name), -1, -1, 0);
  return certificate;
}

}  // namespace

Authority::Authority()
    : key_(EVP_EC_gen("P-256")), certificate_(make_certificate(key_, "test authority", -7200, 7200)) {
  X509_set_issuer_name(certificate_, X509_get_subject_name(certificate_));
  extend(certificate_, certificate_, NID_basic_constraints, "critical,CA:TRUE");
  extend(certificate_, certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
  extend(certificate_, certificate_, NID_subject_key_identifier, "hash");
  X509_sign(certificate_, key_, EVP_sha256());
  char path[] = "/tmp/postrider-test-ca-XXXXXX";
  const int descriptor = ::mkstemp(path);
  std::FILE* file = ::fdopen(descriptor, "w");
  PEM_write_X509(file, certificate_);
  std::fclose(file);
  pem_file_ = path;
}

Authority::~Authority() {
  ::unlink(pem_file_.c_str());
  X509_free(certificate_);
  EVP_PKEY_free(key_);
}

ServerTls Authority::server(const std::string& alternative_names, long not_before_seconds,
                            long not_after_seconds) const {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = make_certificate(key, "test receiver", not_before_seconds, not_after_seconds);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate_));
  extend(certificate, certificate_, NID_subject_alt_name, alternative_names);
  X509_sign(certificate, key_, EVP_sha256());
  ServerTls context(SSL_CTX_new(TLS_server_method()));
  SSL_CTX_use_certificate(context.get(), certificate);
  SSL_CTX_use_PrivateKey(context.get(), key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}

const Authority& trusted_authority() {
  static const Authority authority;
  return authority;
}

}  // namespace postrider::test
