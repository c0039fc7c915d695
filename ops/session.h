#pragma once
#include <memory>

#include "engine/core/result.h"
#include "engine/operations/desk.h"
#include "ops/api_client.h"
#include "ops/command_line.h"
#include "ops/log_access.h"
#include "ops/output.h"

// One run of postrider-ops: what its verb works with. The API or the log is opened when the verb asks for it,
// so that wrong use is told before anything is reached.
namespace postrider::ops {

class Session {
 public:
  // Takes what the line leaves out from POSTRIDER_API, POSTRIDER_ENVIRONMENT, POSTRIDER_KEYS_SERVICE.
  explicit Session(CommandLine line);
  ~Session();

  const CommandLine& line() const { return line_; }
  const Output& out() const { return out_; }
  bool over_api() const { return line_.log.empty(); }

  // WRONG_USE when there is no --api.
  Result<ApiClient*> api();
  // See open_log(). The desk borrows the session's log, random and clock.
  Result<Desk*> desk(Events events);
  OpenedLog& log() { return *log_; }  // after desk()
  Actor actor() const;
  std::int64_t now_ms() const;
  std::uint64_t random();

  // WRONG_USE without --yes, terminal or not. `what`: a sentence on what would be done.
  Result<void> needs_yes(const std::string& what) const;
  // Asks on a terminal; without one, or with --yes, true.
  bool ask(const std::string& question) const;

 private:
  struct Parts;
  CommandLine line_;
  Output out_;
  std::unique_ptr<ApiClient> api_;
  std::unique_ptr<OpenedLog> log_;
  std::unique_ptr<Parts> parts_;
};

// Each answers 0, or 1 for findings; an error is printed by main and gives its own code.
using Verb = Result<int> (*)(Session&);

Result<int> topics_create(Session& session);
Result<int> topics_check(Session& session);
Result<int> topics_mend(Session& session);
Result<int> topics_grow(Session& session);
Result<int> topics_accept_source(Session& session);
Result<int> offsets_rebuild(Session& session);
Result<int> reconcile_log(Session& session);
Result<int> endpoints_apply(Session& session);
Result<int> endpoints_list(Session& session);
Result<int> endpoints_show(Session& session);
Result<int> endpoints_statistics(Session& session);
Result<int> endpoints_disable(Session& session);
Result<int> endpoints_enable(Session& session);
Result<int> endpoints_verify(Session& session);
Result<int> endpoints_delete(Session& session);
Result<int> endpoints_test(Session& session);
Result<int> tenants_list(Session& session);
Result<int> tenants_show(Session& session);
Result<int> tenants_put(Session& session);
Result<int> tenants_delete(Session& session);
Result<int> keys_new(Session& session);
Result<int> keys_list(Session& session);
Result<int> keys_rotate(Session& session);
Result<int> keys_rewrap(Session& session);
Result<int> keys_backup(Session& session);
Result<int> keys_restore(Session& session);
Result<int> secrets_new(Session& session);
Result<int> secrets_rotate(Session& session);
Result<int> secrets_revoke(Session& session);
Result<int> tokens_create(Session& session);
Result<int> tokens_list(Session& session);
Result<int> tokens_revoke(Session& session);
Result<int> tokens_reset(Session& session);
Result<int> deliveries_list(Session& session);
Result<int> event_types_list(Session& session);
Result<int> event_types_show(Session& session);
Result<int> event_types_put(Session& session);
Result<int> event_types_delete(Session& session);
Result<int> deliveries_show(Session& session);
Result<int> deliveries_attempts(Session& session);
Result<int> deliveries_payload(Session& session);
Result<int> events_show(Session& session);
Result<int> events_payload(Session& session);
Result<int> audit_list(Session& session);
Result<int> dead_letters_list(Session& session);
Result<int> dead_letters_show(Session& session);
Result<int> dead_letters_summary(Session& session);
Result<int> dead_letters_resolve(Session& session);
Result<int> replay_dead_letters(Session& session);
Result<int> replays_list(Session& session);
Result<int> replays_show(Session& session);
Result<int> replays_cancel(Session& session);

}  // namespace postrider::ops
