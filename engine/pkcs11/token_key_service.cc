#include "engine/pkcs11/token_key_service.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>

#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace postrider {
namespace {

constexpr char kWrappedVersion = 1;
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kPlainBytesMax = 4096;

struct UriFree {
  void operator()(P11KitUri* uri) const { p11_kit_uri_free(uri); }
};
using Uri = std::unique_ptr<P11KitUri, UriFree>;

struct ModuleFree {
  void operator()(CK_FUNCTION_LIST* module) const {
    p11_kit_module_finalize(module);
    p11_kit_module_release(module);
  }
};
using Module = std::unique_ptr<CK_FUNCTION_LIST, ModuleFree>;

tl::unexpected<Error> bad_uri(const std::string& why) {
  return fail(Errc::invalid, "INVALID_KEY_SERVICE", "keys.service: " + why,
              "write \"pkcs11:token=LABEL;object=KEY?module-path=/usr/lib/…/module.so\" (RFC 7512)");
}

unsigned char* raw(std::string& bytes, std::size_t at = 0) {
  return reinterpret_cast<unsigned char*>(bytes.data()) + at;
}
// PKCS#11 takes its input without const, and leaves it alone.
unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
}

std::string attribute_of(P11KitUri* uri, CK_ATTRIBUTE_TYPE type) {
  const CK_ATTRIBUTE* const found = p11_kit_uri_get_attribute(uri, type);
  if (found == nullptr || found->pValue == nullptr) return {};
  return {static_cast<const char*>(found->pValue), found->ulValueLen};
}

// PKCS#11's texts are padded with blanks.
std::string label_of(const CK_TOKEN_INFO& token) {
  const std::string label(reinterpret_cast<const char*>(token.label), sizeof token.label);
  return label.substr(0, label.find_last_not_of(std::string(" \0", 2)) + 1);
}

class TokenKeyService final : public KeyService {
 public:
  TokenKeyService(TokenOptions options, Uri uri, Module module)
      : options_(std::move(options)), uri_(std::move(uri)), module_(std::move(module)) {
    const CK_TOKEN_INFO* const token = p11_kit_uri_get_token_info(uri_.get());
    std::string key = attribute_of(uri_.get(), CKA_LABEL);
    name_ = "pkcs11:" + label_of(*token) + "/" + key;
  }
  TokenKeyService(const TokenKeyService&) = delete;
  TokenKeyService& operator=(const TokenKeyService&) = delete;
  ~TokenKeyService() override { close(); }

  const std::string& name() const override { return name_; }
  bool is_local() const override { return false; }

  Result<std::string> wrap(std::string_view bytes, std::string_view associated) override {
    if (bytes.size() > kPlainBytesMax) return corrupt();
    const std::lock_guard guard(lock_);
    return again_if_gone<std::string>([&] { return wrap_once(bytes, associated); });
  }

  Result<Secret> unwrap(std::string_view wrapped, std::string_view associated) override {
    const bool ours = wrapped.size() > 1 + kNonceBytes + kTagBytes && wrapped.front() == kWrappedVersion &&
                      wrapped.size() <= 1 + kNonceBytes + kPlainBytesMax + kTagBytes;
    if (!ours) return corrupt();
    const std::lock_guard guard(lock_);
    return again_if_gone<Secret>([&] { return unwrap_once(wrapped, associated); });
  }

 private:
  Result<std::string> wrap_once(std::string_view bytes, std::string_view associated) {
    if (auto opened = open(); !opened) return fail(std::move(opened.error()));
    std::string nonce(kNonceBytes, '\0');
    if (const CK_RV rv = module_->C_GenerateRandom(session_, raw(nonce), kNonceBytes); rv != CKR_OK)
      return judge(rv, "C_GenerateRandom");
    Gcm gcm(nonce, associated);
    if (const CK_RV rv = module_->C_EncryptInit(session_, &gcm.mechanism, key_); rv != CKR_OK)
      return judge(rv, "C_EncryptInit");
    std::string sealed(bytes.size() + kTagBytes, '\0');
    CK_ULONG size = sealed.size();
    const CK_RV rv = module_->C_Encrypt(session_, raw(bytes), bytes.size(), raw(sealed), &size);
    if (rv != CKR_OK) return judge(rv, "C_Encrypt");
    if (size != sealed.size()) return judge(CKR_GENERAL_ERROR, "C_Encrypt");
    return std::string(1, kWrappedVersion) + nonce + sealed;
  }

  Result<Secret> unwrap_once(std::string_view wrapped, std::string_view associated) {
    if (auto opened = open(); !opened) return fail(std::move(opened.error()));
    std::string nonce(wrapped.substr(1, kNonceBytes));
    const std::string_view sealed = wrapped.substr(1 + kNonceBytes);
    Gcm gcm(nonce, associated);
    if (const CK_RV rv = module_->C_DecryptInit(session_, &gcm.mechanism, key_); rv != CKR_OK)
      return judge(rv, "C_DecryptInit");
    std::string plain(sealed.size() + kTagBytes, '\0');  // modules differ in how much room they ask for
    CK_ULONG size = plain.size();
    const CK_RV rv = module_->C_Decrypt(session_, raw(sealed), sealed.size(), raw(plain), &size);
    plain.resize(rv == CKR_OK ? size : 0);
    Secret opened(std::move(plain));
    // A tag that does not fit is told in as many ways as there are modules; SoftHSM says "general error".
    if (rv == CKR_ENCRYPTED_DATA_INVALID || rv == CKR_ENCRYPTED_DATA_LEN_RANGE || rv == CKR_GENERAL_ERROR ||
        rv == CKR_FUNCTION_FAILED || rv == CKR_DATA_INVALID) {
      return corrupt();
    }
    if (rv != CKR_OK) return judge(rv, "C_Decrypt");
    return opened;
  }

  struct Gcm {
    Gcm(std::string& nonce, std::string_view associated) {
      params.iv_ptr = raw(nonce);
      params.iv_len = nonce.size();
      params.iv_bits = nonce.size() * 8;
      params.aad_ptr = raw(associated);
      params.aad_len = associated.size();
      params.tag_bits = kTagBytes * 8;
      mechanism = {CKM_AES_GCM, &params, sizeof params};
    }
    CK_GCM_PARAMS params{};
    CK_MECHANISM mechanism{};
  };

  // A session that was taken away (the token was pulled, or somebody logged out) is opened anew, once.
  template <class T, class Call>
  Result<T> again_if_gone(Call call) {
    Result<T> first = call();
    if (first || !gone_) return first;
    close();
    return call();
  }

  Result<void> open() {
    gone_ = false;
    if (session_ != 0) return {};
    const auto slot = find_slot();
    if (!slot) return fail(slot.error());
    if (const CK_RV rv = module_->C_OpenSession(*slot, CKF_SERIAL_SESSION, nullptr, nullptr, &session_);
        rv != CKR_OK) {
      session_ = 0;
      return judge(rv, "C_OpenSession");
    }
    Result<void> ready = log_in();
    if (ready) ready = find_key();
    if (!ready) close();
    return ready;
  }

  void close() {
    if (session_ != 0) module_->C_CloseSession(session_);
    session_ = 0;
    gone_ = false;
  }

  Result<CK_SLOT_ID> find_slot() {
    CK_ULONG count = 0;
    std::vector<CK_SLOT_ID> slots;
    CK_RV rv = module_->C_GetSlotList(CK_TRUE, nullptr, &count);
    if (rv == CKR_OK && count > 0) {
      slots.resize(count);
      rv = module_->C_GetSlotList(CK_TRUE, slots.data(), &count);
    }
    if (rv != CKR_OK) return judge(rv, "C_GetSlotList");
    slots.resize(count);
    for (const CK_SLOT_ID slot : slots) {
      CK_TOKEN_INFO token{};
      if (module_->C_GetTokenInfo(slot, &token) != CKR_OK) continue;
      if (p11_kit_uri_match_token_info(uri_.get(), &token) == 1) return slot;
    }
    return fail(Errc::unavailable, "KEY_SERVICE_UNAVAILABLE", "the token of " + name_ + " is not there",
                "is the module connected, and does keys.service name its label as it is?");
  }

  Result<void> log_in() {
    if (pin_refused_) return pin_was_refused();
    auto pin = options_.pin();
    if (!pin) return fail(std::move(pin.error()));
    const CK_RV rv = module_->C_Login(session_, CKU_USER, raw(pin->reveal()), pin->reveal().size());
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) return {};
    if (rv != CKR_PIN_INCORRECT && rv != CKR_PIN_LEN_RANGE && rv != CKR_PIN_LOCKED)
      return judge(rv, "C_Login");
    pin_refused_ = true;
    return pin_was_refused();
  }

  tl::unexpected<Error> pin_was_refused() const {
    return fail(Errc::denied, "KEY_SERVICE_DENIED", "the token of " + name_ + " refuses the PIN",
                "write the right one into keys.credential and start again: it is not tried twice, since a "
                "token locks itself");
  }

  Result<void> find_key() {
    CK_ULONG given = 0;
    const CK_ATTRIBUTE* const wanted = p11_kit_uri_get_attributes(uri_.get(), &given);
    std::vector<CK_ATTRIBUTE> query;
    query.reserve(given + 1);
    CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY;
    query.push_back({CKA_CLASS, &secret_key, sizeof secret_key});
    for (CK_ULONG i = 0; i < given; ++i) {
      if (wanted[i].type != CKA_CLASS) query.push_back(wanted[i]);
    }
    CK_OBJECT_HANDLE found[2] = {0, 0};
    CK_ULONG count = 0;
    CK_RV rv = module_->C_FindObjectsInit(session_, query.data(), query.size());
    if (rv == CKR_OK) {
      rv = module_->C_FindObjects(session_, found, 2, &count);
      module_->C_FindObjectsFinal(session_);
    }
    if (rv != CKR_OK) return judge(rv, "C_FindObjects");
    if (count != 1) {
      return fail(Errc::denied, "KEY_SERVICE_KEY_UNUSABLE",
                  count == 0 ? "the token holds no key " + name_ : "the token holds several keys " + name_,
                  "look at the token's objects; name one AES key by object= or id= in keys.service");
    }
    key_ = found[0];
    return {};
  }

  tl::unexpected<Error> judge(CK_RV rv, const char* call) {
    const std::string said = std::string(call) + ": " + p11_kit_strerror(rv);
    switch (rv) {
      case CKR_SESSION_HANDLE_INVALID:
      case CKR_SESSION_CLOSED:
      case CKR_DEVICE_REMOVED:
      case CKR_TOKEN_NOT_PRESENT:
      case CKR_USER_NOT_LOGGED_IN:
      case CKR_KEY_HANDLE_INVALID:
      case CKR_OBJECT_HANDLE_INVALID:
      case CKR_DEVICE_ERROR:
        gone_ = true;
        break;
      case CKR_KEY_FUNCTION_NOT_PERMITTED:
      case CKR_KEY_TYPE_INCONSISTENT:
      case CKR_KEY_SIZE_RANGE:
      case CKR_MECHANISM_INVALID:
        return fail(Errc::denied, "KEY_SERVICE_KEY_UNUSABLE",
                    "the key " + name_ + " is not for this: " + said,
                    "it must be an AES-256 key that may encrypt and decrypt, and the token must know "
                    "CKM_AES_GCM");
      default:
        break;
    }
    return fail(Errc::unavailable, "KEY_SERVICE_UNAVAILABLE",
                "the token of " + name_ + " cannot be asked: " + said,
                "nothing is lost: deliveries wait and go on by themselves; look at the token");
  }

  tl::unexpected<Error> corrupt() const {
    return fail(Errc::corrupt, "WRAPPED_KEY_CORRUPT",
                "a wrapped key was not wrapped by " + name_ + " for this use",
                "start with the key service that was in use when the key was made");
  }

  const TokenOptions options_;
  const Uri uri_;
  const Module module_;
  std::string name_;
  std::mutex lock_;
  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE key_ = 0;
  bool gone_ = false;         // the last call found its session taken away
  bool pin_refused_ = false;  // for good
};

}  // namespace

Result<std::unique_ptr<KeyService>> open_token_key_service(TokenOptions options) {
  Uri uri(p11_kit_uri_new());
  const int parsed = p11_kit_uri_parse(options.uri.c_str(), P11_KIT_URI_FOR_ANY, uri.get());
  if (parsed != P11_KIT_URI_OK) return bad_uri(std::string("no PKCS#11 URI: ") + p11_kit_uri_message(parsed));
  if (p11_kit_uri_any_unrecognized(uri.get()) != 0)
    return bad_uri("the URI holds an attribute that is not known");
  if (p11_kit_uri_get_pin_value(uri.get()) != nullptr)
    return bad_uri("the PIN stands in the open: change it, and name its file in keys.credential");
  const char* const path = p11_kit_uri_get_module_path(uri.get());
  if (path == nullptr) return bad_uri("the URI names no module-path");
  if (label_of(*p11_kit_uri_get_token_info(uri.get())).empty())
    return bad_uri("the URI names no token (token=)");
  if (attribute_of(uri.get(), CKA_LABEL).empty()) return bad_uri("the URI names no key (object=)");
  CK_FUNCTION_LIST* const loaded = p11_kit_module_load(path, 0);
  if (loaded == nullptr) {
    const char* const why = p11_kit_message();
    return bad_uri(std::string("the module cannot be loaded: ") + (why != nullptr ? why : path));
  }
  if (const CK_RV rv = p11_kit_module_initialize(loaded); rv != CKR_OK) {
    p11_kit_module_release(loaded);
    return fail(Errc::unavailable, "KEY_SERVICE_UNAVAILABLE",
                std::string("the PKCS#11 module ") + path + " cannot begin: " + p11_kit_strerror(rv),
                "look at the module's own configuration (SOFTHSM2_CONF, …)");
  }
  return std::make_unique<TokenKeyService>(std::move(options), std::move(uri), Module(loaded));
}

}  // namespace postrider
