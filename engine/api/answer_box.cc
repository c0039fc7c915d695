#include "engine/api/answer_box.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

constexpr std::size_t kTagBytes = 16, kNonceBytes = 12;

struct CipherFreed {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

class BoxCipher {
 public:
  BoxCipher(std::string_view idempotency_key, std::string_view run, bool lock)
      : context_(EVP_CIPHER_CTX_new()) {
    std::string material = "postrider answer 1\n";
    material.append(run).append("\n").append(idempotency_key);
    Digest key = sha256(material);
    const std::array<unsigned char, kNonceBytes> nonce{};
    must(EVP_CipherInit_ex(context_.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data(),
                           lock ? 1 : 0));
    OPENSSL_cleanse(key.data(), key.size());
    OPENSSL_cleanse(material.data(), material.size());
  }
  std::string update(std::string_view bytes) {
    std::string out(bytes.size(), '\0');
    int length = 0;
    must(EVP_CipherUpdate(context_.get(), reinterpret_cast<unsigned char*>(out.data()), &length,
                          reinterpret_cast<const unsigned char*>(bytes.data()),
                          static_cast<int>(bytes.size())));
    return out;
  }
  bool finish() {
    std::array<unsigned char, kTagBytes> nothing{};
    int length = 0;
    return EVP_CipherFinal_ex(context_.get(), nothing.data(), &length) == 1;
  }
  void tag(int what, char* bytes) {
    must(EVP_CIPHER_CTX_ctrl(context_.get(), what, static_cast<int>(kTagBytes), bytes));
  }

 private:
  // Fails for want of memory alone.
  static void must(int done) {
    if (done != 1) std::abort();
  }
  std::unique_ptr<EVP_CIPHER_CTX, CipherFreed> context_;
};

}  // namespace

std::string lock_answer(std::string_view idempotency_key, std::string_view run, std::string_view bytes) {
  BoxCipher cipher(idempotency_key, run, true);
  std::string locked = cipher.update(bytes);
  if (!cipher.finish()) std::abort();
  std::array<char, kTagBytes> tag{};
  cipher.tag(EVP_CTRL_GCM_GET_TAG, tag.data());
  return locked.append(tag.data(), tag.size());
}

std::optional<Secret> unlock_answer(std::string_view idempotency_key, std::string_view run,
                                    std::string_view locked) {
  if (locked.size() < kTagBytes) return std::nullopt;
  std::string tag(locked.substr(locked.size() - kTagBytes));
  BoxCipher cipher(idempotency_key, run, false);
  Secret bytes(cipher.update(locked.substr(0, locked.size() - kTagBytes)));
  cipher.tag(EVP_CTRL_GCM_SET_TAG, tag.data());
  if (!cipher.finish()) return std::nullopt;
  return bytes;
}

}  // namespace postrider
