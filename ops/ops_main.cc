// postrider-ops: the operators' door. A verb works over a daemon's HTTP API or straight on the log; never on
// a view. Exit codes: 0 done, 1 refused, failed or findings, 2 wrong use or configuration, 3 unreachable,
// 4 the log no longer tells.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>

#include "ops/session.h"

namespace postrider::ops {
namespace {

struct NamedVerb {
  std::string_view name;
  Verb run;
};

constexpr std::array kVerbs = {
    NamedVerb{"topics create", topics_create},
    NamedVerb{"topics check", topics_check},
    NamedVerb{"topics mend", topics_mend},
    NamedVerb{"topics grow", topics_grow},
    NamedVerb{"topics accept-source", topics_accept_source},
    NamedVerb{"offsets rebuild", offsets_rebuild},
    NamedVerb{"reconcile", reconcile_log},
    NamedVerb{"endpoints apply", endpoints_apply},
    NamedVerb{"endpoints list", endpoints_list},
    NamedVerb{"endpoints show", endpoints_show},
    NamedVerb{"endpoints statistics", endpoints_statistics},
    NamedVerb{"endpoints disable", endpoints_disable},
    NamedVerb{"endpoints enable", endpoints_enable},
    NamedVerb{"endpoints verify", endpoints_verify},
    NamedVerb{"endpoints delete", endpoints_delete},
    NamedVerb{"endpoints test", endpoints_test},
    NamedVerb{"tenants list", tenants_list},
    NamedVerb{"tenants show", tenants_show},
    NamedVerb{"tenants put", tenants_put},
    NamedVerb{"tenants delete", tenants_delete},
    NamedVerb{"keys new", keys_new},
    NamedVerb{"keys list", keys_list},
    NamedVerb{"keys rotate", keys_rotate},
    NamedVerb{"keys rewrap", keys_rewrap},
    NamedVerb{"keys backup", keys_backup},
    NamedVerb{"keys restore", keys_restore},
    NamedVerb{"secrets new", secrets_new},
    NamedVerb{"secrets rotate", secrets_rotate},
    NamedVerb{"secrets revoke", secrets_revoke},
    NamedVerb{"tokens create", tokens_create},
    NamedVerb{"tokens list", tokens_list},
    NamedVerb{"tokens revoke", tokens_revoke},
    NamedVerb{"tokens reset", tokens_reset},
    NamedVerb{"deliveries list", deliveries_list},
    NamedVerb{"event-types list", event_types_list},
    NamedVerb{"event-types show", event_types_show},
    NamedVerb{"event-types put", event_types_put},
    NamedVerb{"event-types delete", event_types_delete},
    NamedVerb{"deliveries show", deliveries_show},
    NamedVerb{"deliveries attempts", deliveries_attempts},
    NamedVerb{"deliveries payload", deliveries_payload},
    NamedVerb{"events show", events_show},
    NamedVerb{"events payload", events_payload},
    NamedVerb{"audit list", audit_list},
    NamedVerb{"dead-letters list", dead_letters_list},
    NamedVerb{"dead-letters show", dead_letters_show},
    NamedVerb{"dead-letters summary", dead_letters_summary},
    NamedVerb{"dead-letters resolve", dead_letters_resolve},
    NamedVerb{"replay", replay_dead_letters},
    NamedVerb{"replays list", replays_list},
    NamedVerb{"replays show", replays_show},
    NamedVerb{"replays cancel", replays_cancel},
};

int run(int count, const char* const* arguments) {
  CommandLine line;
  const auto parsed = parse_command_line(count, arguments, line);
  if (parsed && *parsed) return **parsed;
  const auto verb =
      std::find_if(kVerbs.begin(), kVerbs.end(), [&](const auto& each) { return each.name == line.verb; });
  Session session(std::move(line));
  const auto failed = [&](const Error& error) {
    session.out().error(error);
    return exit_code_of(error);
  };
  if (!parsed) return failed(parsed.error());
  if (verb == kVerbs.end()) std::abort();  // the command line knows a verb that this table does not
  const auto code = verb->run(session);
  return code ? *code : failed(code.error());
}

}  // namespace
}  // namespace postrider::ops

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  return postrider::ops::run(count, arguments);
}
