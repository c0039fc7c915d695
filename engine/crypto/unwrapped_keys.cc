#include "engine/crypto/unwrapped_keys.h"

#include <algorithm>
#include <utility>

#include "engine/crypto/aes_gcm.h"
#include "engine/crypto/random_bytes.h"
#include "engine/ports/keys.h"

namespace postrider::crypto {
namespace {

constexpr Millis kFirstWait{1000};
constexpr Millis kLongestWait{15'000};

tl::unexpected<Error> pending() {
  return fail(Errc::unavailable, std::string(kKeyPending), "the key service is being asked for the key",
              "try again in a moment");
}

// As flow takes it, `denied` means destroyed, for ever. A service that refuses may be mended.
Error to_wait_for(Error error) {
  if (error.errc != Errc::corrupt) error.errc = Errc::unavailable;
  return error;
}

}  // namespace

UnwrappedKeys::UnwrappedKeys(const KeyServices& services, const Clock& clock,
                             std::unique_ptr<Errands> errands)
    : services_(services), clock_(clock), errands_(std::move(errands)) {}

Result<UnwrappedKeys::Handle> UnwrappedKeys::get(const WrappedKeyFact& fact, const std::string& associated) {
  KeyService* const service = services_.named(fact.service);
  if (service == nullptr) {
    return fail(
        Errc::unavailable, "KEY_SERVICE_OTHER",
        "the key of " + (fact.tenant.empty() ? "the environment" : "tenant " + fact.tenant.str()) +
            " was wrapped by " + fact.service + ", not by " + services_.of(fact.tenant).name(),
        "name that service in keys.former, or start with the key file that was in use when the key was "
        "made");
  }
  std::unique_lock guard(lock_);
  Entry& entry = entries_[key_record_key(fact)];
  const SteadyTime now = clock_.steady();
  if (entry.key && now >= entry.key->until) entry.key.reset();
  const bool due = !entry.key || now >= entry.key->ask_again;
  if (due && !entry.asked && (service->is_local() || now >= entry.next_try)) {
    entry.asked = true;
    if (service->is_local()) {
      Result<Secret> bytes = service->unwrap(fact.wrapped, associated);
      guard.unlock();
      take_key(fact, now, std::move(bytes));
      guard.lock();
    } else {
      errands_->post(service->name(), [this, service, fact, associated] {
        const SteadyTime asked_at = clock_.steady();
        take_key(fact, asked_at, service->unwrap(fact.wrapped, associated));
      });
    }
  }
  if (entry.key) return entry.key;
  if (entry.why_not) return fail(*entry.why_not);
  return pending();
}

void UnwrappedKeys::take_key(const WrappedKeyFact& fact, SteadyTime asked_at, Result<Secret> bytes) {
  if (bytes && bytes->reveal().size() != kKeyBytes) {
    bytes =
        fail(Errc::corrupt, "WRAPPED_KEY_CORRUPT", "what " + fact.service + " unwrapped is no key of ours",
             "start with the key service that was in use when the key was made");
  }
  const std::lock_guard guard(lock_);
  Entry& entry = entries_[key_record_key(fact)];
  entry.asked = false;
  if (bytes) {
    entry.key =
        std::make_shared<const Key>(Key{*std::move(bytes), asked_at + kAskedAnewFrom, asked_at + kKeptFor});
    entry.why_not.reset();
    entry.wait = Millis(0);
    tell(fact, "key_unwrapped", nullptr);
    return;
  }
  const bool news = !entry.why_not || entry.why_not->code != bytes.error().code;
  entry.why_not = to_wait_for(std::move(bytes.error()));
  entry.wait = std::clamp(2 * entry.wait, kFirstWait, kLongestWait);
  entry.next_try = clock_.steady() + entry.wait;
  if (news) tell(fact, "key_unwrapped", &*entry.why_not);  // an outage is one line, not one a try
}

Result<WrappedKeyFact> UnwrappedKeys::wrap_new(WrappedKeyFact fact, const std::string& associated) {
  KeyService& service = services_.of(fact.tenant);
  fact.service = service.name();
  const std::string name = key_record_key(fact);
  const auto wrap = [&service, associated] {
    const Secret key = RandomBytes().secret(kKeyBytes);
    return service.wrap(key.reveal(), associated);
  };
  std::unique_lock guard(lock_);
  Making& making = makings_[name];
  if (service.is_local()) {
    making.wrapped = wrap();
  } else if (!making.asked) {
    making.asked = true;
    errands_->post(service.name(), [this, name, wrap] {
      auto wrapped = wrap();
      const std::lock_guard guarded(lock_);
      makings_[name].wrapped = std::move(wrapped);
    });
  }
  if (!making.wrapped) return pending();
  Result<std::string> wrapped = *std::move(making.wrapped);
  makings_.erase(name);
  if (!wrapped) {
    const Error error = to_wait_for(std::move(wrapped.error()));
    tell(fact, "key_wrapped", &error);
    return fail(error);
  }
  fact.wrapped = *std::move(wrapped);
  tell(fact, "key_wrapped", nullptr);
  return fact;
}

void UnwrappedKeys::drop(const WrappedKeyFact& fact) {
  const std::lock_guard guard(lock_);
  entries_.erase(key_record_key(fact));
}

void UnwrappedKeys::forget() {
  const std::lock_guard guard(lock_);
  const SteadyTime now = clock_.steady();
  std::erase_if(entries_, [&](const auto& named) {
    const Entry& entry = named.second;
    return !entry.asked && now >= (entry.key ? entry.key->until : entry.next_try + kKeptFor);
  });
}

void UnwrappedKeys::tell(const WrappedKeyFact& fact, const char* action, const Error* error) {
  if (told_.size() >= kToldMax) return;  // nobody takes them: the log is away
  AuditFact told;
  told.tenant = fact.tenant;
  told.action = action;
  told.resource = "keys/" + fact.key_id;
  told.source = fact.service;
  told.outcome = error == nullptr ? "done" : "failed";
  if (error != nullptr) told.error = error->code;
  told_.push_back(std::move(told));
}

std::vector<AuditFact> UnwrappedKeys::take_told() {
  const std::lock_guard guard(lock_);
  return std::exchange(told_, {});
}

}  // namespace postrider::crypto
