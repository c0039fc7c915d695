#pragma once
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/core/registry.h"
#include "engine/flow/appender.h"
#include "engine/flow/context.h"

namespace postrider::flow {

// This instance's registry: tails `endpoints`, `health` and `keys`, and knows how fresh it is. Routing and
// signing are allowed only while an end of `endpoints` that was asked for less than 2 s ago has been applied:
// so an event published after a registry command has answered sees the change (DESIGN §5).
class RegistryView {
 public:
  static constexpr Millis kFreshFor{2000};
  static constexpr Millis kAskEvery{500};

  RegistryView(Context& context, Appender& appender) : context_(context), appender_(appender) {}

  void start();
  void on_tail(const Record& record);
  void on_end(Topic topic, Offset end, SteadyTime asked_at);
  // Asks for the end, appends what must be mended.
  void tick(SteadyTime now);
  SteadyTime next_tick() const {
    return key_waits_.empty() ? next_ask_ : std::min(next_ask_, next_key_look_);
  }

  bool fresh(SteadyTime now) const;
  // The registry, `health` and `keys` were read to the end that stood when we started.
  bool read_once() const;
  const Registry& registry() const { return registry_; }
  Offset version() const { return applied_; }  // next offset of `endpoints`

  // A fact of `endpoints`: appended, read back, and judged. `applied` false: somebody changed it first.
  using Written = std::function<void(Result<bool> applied)>;
  void write(std::string key, std::string value, Written written);
  void write_health(const HealthFact& fact);
  // Makes the tenant's key (empty: the environment's own) if there is none; answers once it seals, or that it
  // cannot be had now.
  void ensure_key(const TenantId& tenant, std::function<void(Result<void>)> done);

  // Called after any change, with the endpoints whose state may differ now.
  void on_change(std::function<void()> changed) { changed_ = std::move(changed); }

 private:
  void apply_endpoints(const Record& record);
  void mend(SteadyTime now);
  void look_at_keys(SteadyTime now);
  std::optional<Result<void>> key_for(const TenantId& tenant);
  void append_key(const WrappedKeyFact& key);
  void answer_key_waits(const TenantId& tenant, const Result<void>& answer);
  void tell_what_keys_did();
  void rotate_old_keys(SteadyTime now);

  Context& context_;
  Appender& appender_;
  Registry registry_;
  Offset applied_ = 0;
  struct Follow {
    Offset applied = 0;
    std::optional<Offset> first_end;
    bool read() const { return first_end && applied >= *first_end; }
  };
  std::map<Topic, Follow> follows_;
  struct Asked {
    Offset end;
    SteadyTime asked_at;
  };
  std::vector<Asked> ends_;  // not yet applied
  std::optional<SteadyTime> fresh_as_of_;
  SteadyTime next_ask_{};
  SteadyTime next_mend_{};
  std::map<Offset, Written> own_;  // acknowledged, not yet read back
  std::map<Offset, bool> judged_;  // the newest records' fate: an acknowledgement may come after its record
  struct KeyWait {
    TenantId tenant;
    std::function<void(Result<void>)> done;
  };
  std::vector<KeyWait> key_waits_;
  std::map<TenantId, bool> key_under_way_;  // made, on its way to the log or back
  SteadyTime next_key_look_{};
  SteadyTime next_told_{};
  SteadyTime next_rotation_{};
  std::set<TenantId> rotating_;                         // their new key is being wrapped
  std::map<std::string, std::uint64_t> newest_health_;  // by key: the newest write that has no answer yet
  std::uint64_t health_serial_ = 0;
  std::function<void()> changed_;
};

}  // namespace postrider::flow
