#include "engine/crypto/aes_gcm.h"

#include <openssl/crypto.h>

#include <array>

#include "engine/crypto/openssl_handles.h"

namespace postrider::crypto {
namespace {

const EVP_CIPHER* algorithm() {
  static EVP_CIPHER* const fetched =
      EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);  // for the process's life
  must(fetched != nullptr, "fetch AES-256-GCM");
  return fetched;
}

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* raw(std::string& bytes, std::size_t at) {
  return reinterpret_cast<unsigned char*>(bytes.data()) + at;
}

CipherContext new_context() {
  CipherContext context(EVP_CIPHER_CTX_new());
  must(context != nullptr, "EVP_CIPHER_CTX_new");
  return context;
}

}  // namespace

Associated& Associated::add(std::string_view field) {
  const std::uint64_t size = field.size();
  for (int shift = 56; shift >= 0; shift -= 8) bytes_.push_back(static_cast<char>((size >> shift) & 0xff));
  bytes_.append(field);
  return *this;
}

struct AesGcm::Contexts {
  CipherContext sealing = new_context();
  CipherContext opening = new_context();
};

AesGcm::AesGcm() = default;
AesGcm::AesGcm(std::string_view key) {
  rekey_sealing(key);
  rekey_opening(key);
}
AesGcm::AesGcm(AesGcm&&) noexcept = default;
AesGcm& AesGcm::operator=(AesGcm&&) noexcept = default;
AesGcm::~AesGcm() = default;  // freeing a context cleanses its key schedule

AesGcm::Contexts& AesGcm::contexts() {
  if (!contexts_) contexts_ = std::make_unique<Contexts>();
  return *contexts_;
}

void AesGcm::rekey_sealing(std::string_view key) {
  must(key.size() == kKeyBytes &&
           EVP_EncryptInit_ex2(contexts().sealing.get(), algorithm(), raw(key), nullptr, nullptr) == 1,
       "AES-256-GCM key");
}

void AesGcm::rekey_opening(std::string_view key) {
  must(key.size() == kKeyBytes &&
           EVP_DecryptInit_ex2(contexts().opening.get(), algorithm(), raw(key), nullptr, nullptr) == 1,
       "AES-256-GCM key");
}

void AesGcm::seal(std::string_view nonce, std::string_view associated, std::string_view plain,
                  std::string& out) {
  must(contexts_ != nullptr && nonce.size() == kNonceBytes && plain.size() <= kPlainBytesMax,
       "AES-256-GCM use");
  EVP_CIPHER_CTX* const context = contexts_->sealing.get();
  const std::size_t start = out.size();
  out.resize(start + plain.size() + kTagBytes);
  int written = 0;
  must(EVP_EncryptInit_ex2(context, nullptr, nullptr, raw(nonce), nullptr) == 1 &&
           EVP_EncryptUpdate(context, nullptr, &written, raw(associated),
                             static_cast<int>(associated.size())) == 1 &&
           EVP_EncryptUpdate(context, raw(out, start), &written, raw(plain),
                             static_cast<int>(plain.size())) == 1 &&
           EVP_EncryptFinal_ex(context, raw(out, start + plain.size()), &written) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kTagBytes),
                               raw(out, start + plain.size())) == 1,
       "AES-256-GCM seal");
}

std::optional<std::string> AesGcm::open(std::string_view nonce, std::string_view associated,
                                        std::string_view sealed) {
  if (contexts_ == nullptr || nonce.size() != kNonceBytes || sealed.size() < kTagBytes ||
      sealed.size() > kPlainBytesMax + kTagBytes) {
    return std::nullopt;
  }
  EVP_CIPHER_CTX* const context = contexts_->opening.get();
  const std::string_view body = sealed.substr(0, sealed.size() - kTagBytes);
  std::array<unsigned char, kTagBytes> tag{};
  std::copy(sealed.end() - static_cast<std::ptrdiff_t>(kTagBytes), sealed.end(), tag.begin());
  std::string plain(body.size(), '\0');
  int written = 0;
  std::array<unsigned char, kTagBytes> nothing_left{};
  const bool genuine =
      EVP_DecryptInit_ex2(context, nullptr, nullptr, raw(nonce), nullptr) == 1 &&
      EVP_DecryptUpdate(context, nullptr, &written, raw(associated), static_cast<int>(associated.size())) ==
          1 &&
      EVP_DecryptUpdate(context, raw(plain, 0), &written, raw(body), static_cast<int>(body.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kTagBytes), tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context, nothing_left.data(), &written) == 1;
  if (genuine) return plain;
  OPENSSL_cleanse(plain.data(), plain.size());  // unauthenticated bytes go nowhere
  return std::nullopt;
}

}  // namespace postrider::crypto
