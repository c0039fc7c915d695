#include "ops/command_line.h"

#include <CLI/CLI.hpp>
#include <string_view>

#include "ops/dead_letter_filter.h"
#include "ops/output.h"

namespace postrider::ops {
namespace {

constexpr const char* kFooter =
    "Exit codes: 0 done; 1 refused, failed, or something was found; 2 wrong use or configuration; 3 "
    "unreachable; 4 the log no longer tells (reconcile).\n"
    "Times: RFC 3339 (2026-01-31T12:00:00Z) or how long ago (90m, 2h, 3d). ops/runbook.md: symptom, command.";

// Declares the verbs into `line`. The verb that CLI11 has parsed notes its name.
class Verbs {
 public:
  Verbs(CLI::App& app, CommandLine& line) : app_(app), line_(line) {}

  void declare() {
    globals();
    topics();
    endpoints();
    secrets();
    deliveries();
    dead_letters();
    replay();
    proof();
  }

 private:
  void globals() {
    app_.add_option("--api", line_.api, "http(s)://host:port of a daemon [POSTRIDER_API]")
        ->excludes(app_.add_option("--log", line_.log,
                                   "kafka://host:port,… or embedded:DIR (only while no daemon holds it)"));
    app_.add_option("--environment", line_.environment,
                    "whose topics; required with --log [POSTRIDER_ENVIRONMENT]");
    app_.add_option("--token-file", line_.token_file,
                    "file with the bearer token for --api [POSTRIDER_TOKEN]");
    app_.add_option("--ca", line_.ca_file, "PEM of a private authority, for --api https://…");
    app_.add_option("--client-cert", line_.client_cert,
                    "PEM of our certificate, where the daemon has tls.client_ca");
    app_.add_option("--client-key", line_.client_key, "PEM of its private key");
    app_.add_option(
        "--keys", line_.keys,
        "the daemon's keys.service, as file:PATH; replay and reconcile need it on an embedded log "
        "[POSTRIDER_KEYS_SERVICE]");
    app_.add_option("--credential", line_.credential,
                    "env:NAME or file:PATH: that service's token or PIN [POSTRIDER_KEYS_CREDENTIAL]");
    app_.add_option("--keys-ca", line_.keys_ca_file,
                    "PEM of that service's private authority [POSTRIDER_KEYS_CA_FILE]");
    app_.add_option("--actor", line_.actor, "who stands in audit facts [the user who runs this]");
    app_.add_option("-X", line_.kafka_properties,
                    "KEY=VALUE, a librdkafka property; secrets as env:NAME or file:PATH; repeatable")
        ->allow_extra_args(false);
    app_.add_flag("--json", line_.json, "print one JSON object a line");
    app_.add_flag("--yes,-y", line_.yes, "do what needs a confirmation");
  }

  void topics() {
    auto& group = this->group(app_, "topics", "The topics on Kafka (--log)");
    auto& create = verb(group, "create",
                        "Make what is missing, and write the log's identity; never changes what is there");
    partitions(create)->capture_default_str();
    create.add_option("--replication", line_.replication, "copies of each [the broker's default]")
        ->check(CLI::Range(1, 32767));
    create.add_option("--retention-events", line_.events_retention, "how long events are kept, as 14d [14d]");
    verb(group, "check", "Name every setting by which data could be lost; exit 1 if there is one");
    verb(group, "mend", "Set what `check` found wrong in settings (not partitions, not replication)");
    partitions(verb(group, "grow", "More partitions: parked and attempts first, then events"))->required();
    partition(
        verb(group, "accept-source",
             "After SOURCE_REPLACED: accept `events` as it is now (--log, --environment, --yes). Its owner "
             "begins at what the group has committed, or at the beginning if that is above the end, of an "
             "earlier topic, or not there. All daemons must be down and, on Kafka, one session timeout (15 "
             "s) over"))
        ->required();
  }

  void endpoints() {
    auto& group = this->group(app_, "endpoints", "Customers' endpoints (--api)");
    auto& apply = verb(group, "apply", "Create and update what the file declares; never deletes");
    apply.add_option("FILE", line_.file, "TOML: environment, [[endpoint]]…; - for standard input")
        ->required();
    apply.add_flag("--dry-run", line_.dry_run, "only show the difference");
    no_wait(apply);
    auto& list = verb(group, "list", "State, since when and why, held deliveries");
    list.add_option("--tenant", line_.tenant, "of one tenant");
    endpoint(verb(group, "show", "One endpoint, all there is to know"));
    auto& statistics =
        verb(group, "statistics", "Its attempts by outcome, how long they took, and what waits");
    endpoint(statistics);
    statistics.add_option("--window", line_.window, "how far back, as 15m or 7d [1h]");
    auto& disable = verb(group, "disable", "Hold its deliveries as parked, until `enable`");
    endpoint(disable);
    disable.add_option("--why", line_.why, "in a few words: stands in lists and in the audit")->required();
    no_wait(disable);
    for (const auto& [name, help] : {std::pair{"enable", "Send again, what is held first and gently"},
                                     std::pair{"delete", "Cancel what it is owed, and send to it no more"}}) {
      auto& each = verb(group, name, help);
      endpoint(each);
      no_wait(each);
    }
    auto& verify =
        verb(group, "verify", "Prove that the receiver of an unverified one wants it, or have it asked anew");
    endpoint(verify);
    auto* challenge =
        verify.add_option("--challenge", line_.challenge, "chl_…, as somebody read it at the receiver");
    verify.add_flag("--vouch", line_.vouch, "on the platform's word, with a token of the platform")
        ->excludes(challenge);
    no_wait(verify);
    auto& test = verb(group, "test", "Publish a test event to it alone, whatever types it takes");
    endpoint(test);
    test.add_option("--type", line_.type, "the event's type [postrider.test]");
    tenants();
  }

  void tenants() {
    auto& group = this->group(app_, "tenants", "Whom something is declared for (--api)");
    verb(group, "list", "Each tenant with its endpoints and tokens");
    const auto one = [&](const char* name, const char* help) -> CLI::App& {
      auto& made = verb(group, name, help);
      made.add_option("TENANT", line_.tenant)->required();
      return made;
    };
    one("show", "One, and what was said of it");
    auto& put = one("put", "Say who it is, how many endpoints it may have, and whether it is suspended");
    put.add_option("FILE", line_.file, "JSON: name, description, endpoints_max, suspended")->required();
    no_wait(put);
    no_wait(one("delete", "Forget what was said of one that has no endpoints"));
  }

  void secrets() {
    keys();
    auto& secrets = group(app_, "secrets", "Signing secrets");
    verb(secrets, "new", "Print a new signing secret (whsec_…)");
    auto& rotate = verb(secrets, "rotate",
                        "One more signs, and is printed once; the others still do for the overlap (--api)");
    endpoint(rotate);
    rotate.add_option("--overlap", line_.overlap, "how long, as 24h or 7d; 0s: no longer [24h]");
    rotate.add_option("--secret", line_.secret, "env:NAME or file:PATH of the new one [one is made]");
    no_wait(rotate);
    auto& revoke = verb(secrets, "revoke", "One signs no more, at once; another one must (--api)");
    endpoint(revoke);
    revoke.add_option("SECRET", line_.secret, "sec_…, as `endpoints show` lists them")->required();
    no_wait(revoke);
    tokens();
    event_types();
  }

  void event_types() {
    auto& group = this->group(app_, "event-types", "What events of a type shall look like (--api)");
    auto& list = verb(group, "list", "Which are described");
    list.add_option("--tenant", line_.tenant, "what holds for one tenant, the platform's included");
    const auto one = [&](const char* name, const char* help) -> CLI::App& {
      auto& made = verb(group, name, help);
      made.add_option("TYPE", line_.type, "as in order.created")->required();
      made.add_option("--tenant", line_.tenant, "a tenant's own [the platform's, for all that have none]");
      return made;
    };
    one("show", "One, its schema too");
    auto& put = one("put", "Describe one, or describe it anew");
    put.add_option("FILE", line_.file, "JSON: description, version, classification, deprecated, schema")
        ->required();
    no_wait(put);
    no_wait(one("delete", "Forget one: its events go on as those of a type that nobody described"));
  }

  void keys() {
    auto& group = this->group(app_, "keys", "The tenants' keys, and what wraps them");
    auto& new_key = verb(group, "new", "Make a key file (0600); never over another one");
    new_key.add_option("PATH", line_.file, "[the path of --keys, else postrider.key]");
    services(verb(group, "list", "Every key: whose, which service wrapped it, since when (--log)"));
    auto& rotate =
        verb(group, "rotate", "A new key seals for the tenant from now on; the old ones open (--log)");
    rotate.add_option("TENANT", line_.tenant, "~environment: what belongs to no tenant")->required();
    services(rotate);
    services(
        verb(group, "rewrap",
             "Wrap every key anew under its present service, which replaces wrapped bytes and no key: after "
             "a rotation there, or for another service (--log)"));
    auto& backup = verb(group, "backup", "Copy every key, wrapped under another service's key (--log)");
    backup.add_option("FILE", line_.file, "made, never overwritten")->required();
    auto& restore =
        verb(group, "restore", "Bring such a copy back, wrapped under the present service (--log, --yes)");
    restore.add_option("FILE", line_.file, "as `backup` made it")->required();
    for (CLI::App* each : {&backup, &restore}) {
      each->add_option("--under", line_.under, "the other service, as file:PATH")->required();
      each->add_option("--under-credential", line_.under_credential,
                       "env:NAME or file:PATH: its token or PIN");
      services(*each);
    }
  }

  void services(CLI::App& verb) {
    verb.add_option("--config", line_.config,
                    "postriderd's configuration: its [keys] tables name the services [--keys alone]");
  }

  void tokens() {
    auto& group = this->group(app_, "tokens", "Who may use the API, and for what");
    auto& create =
        verb(group, "create", "Print a new one, this once; it only reads unless told otherwise (--api)");
    create.add_option("--name", line_.name, "what it is for, in a few words")->required();
    create.add_option("--tenant", line_.tenant, "bind it to that tenant [the platform: every tenant]");
    auto* role =
        create.add_option("--role", line_.role, "viewer, publisher, operator, auditor or admin [viewer]");
    create
        .add_option("--scope", line_.scopes,
                    "events:publish, replays:write, …, in place of a role; repeatable")
        ->excludes(role);
    create.add_option("--expires", line_.expires, "how long it is valid, as 30d, at most 366d [90d]");
    auto& list = verb(group, "list", "Which there are, and what each may do; never their text (--api)");
    list.add_option("--tenant", line_.tenant, "of one tenant");
    id(verb(group, "revoke", "No instance accepts it any more once this has answered (--api)"), "tok_…");
    verb(group, "reset",
         "Print a new administrator's token and revoke the others: with the old one over --api, or straight "
         "on "
         "the --log");
  }

  void deliveries() {
    auto& group = this->group(app_, "deliveries", "What became of events (--api)");
    auto& list = verb(group, "list", "Each where its newest fact stands, the newest first");
    list.add_option("--tenant", line_.tenant);
    list.add_option("--endpoint", line_.endpoint);
    list.add_option("--type", line_.type, "order.created, order.* or *");
    list.add_option("--state", line_.delivery_state, "parked, delivered, dead or cancelled")
        ->check(CLI::IsMember({"parked", "delivered", "dead", "cancelled"}));
    list.add_option("--event", line_.event_id, "of the event with that id");
    list.add_option("--webhook", line_.webhook_id, "msg_…");
    list.add_option("--job", line_.job, "that the replay job made (rpl_…)");
    list.add_option("--since", line_.since, "its newest fact at or after");
    list.add_option("--until", line_.until, "its newest fact before");
    list.add_option("--limit", line_.limit, "at most")->check(CLI::Range(1, 100'000))->capture_default_str();
    id(verb(group, "show", "Its deliveries and attempts; or why there are none"),
       "of a delivery (dlv_…), a webhook (msg_…) or an event");
    id(verb(group, "attempts", "What was tried for one delivery, the newest first"), "dlv_…");
    id(verb(group, "payload", "Its event's data, as it is; that it was read stands in the audit"), "dlv_…");
    auto& events = this->group(app_, "events", "What was published (--api)");
    const char* place = "msg_…, or PARTITION-OFFSET, as the answer to its publishing has them";
    id(verb(events, "show", "What it says of itself, without its data"), place);
    id(verb(events, "payload", "Its data, as it is; that it was read stands in the audit"), place);
    audit();
  }

  void audit() {
    auto& list = verb(group(app_, "audit", "Who did what (--api)"), "list", "The newest first");
    list.add_option("--tenant", line_.tenant, "about one tenant");
    list.add_option("--by", line_.who, "that actor");
    list.add_option("--action", line_.action, "endpoint_updated, payload_read, replay, …");
    list.add_option("--since", line_.since, "at or after");
    list.add_option("--until", line_.until, "before");
    list.add_option("--limit", line_.limit, "at most")->check(CLI::Range(1, 100'000))->capture_default_str();
  }

  void dead_letters() {
    auto& group = this->group(app_, "dead-letters", "Deliveries that were given up");
    auto& list = verb(group, "list", "Newest first (--api or --log)");
    filter(list, true);
    list.add_option("--limit", line_.limit, "at most")->check(CLI::Range(1, 1000))->capture_default_str();
    id(verb(group, "show", "One, all but its payload (--api)"), "dlv_…");
    filter(verb(group, "summary", "Counted by tenant, endpoint and reason (--api or --log)"), true);
    auto& resolve = verb(group, "resolve", "Close one without a replay (--api)");
    id(resolve, "dlv_…");
    resolve.add_option("--why", line_.why, "what became of it, in a few words")->required();
  }

  void replay() {
    auto& replay = verb(app_, "replay",
                        "Deliver dead letters again: the same webhook-id, a new delivery (--api or --log)");
    replay.add_option("ID", line_.ids, "dlv_…, whatever became of them; or else open ones by a filter:");
    filter(replay, false);
    replay.add_flag("--dry-run", line_.dry_run, "only count");
    replay.add_option("--rate", line_.rate, "replays a second [as fast as the log takes them]")
        ->check(CLI::Range(0.001, 1e6));
    replay.add_option("--job", line_.job,
                      "resume that job (rpl_…): repeat the same selection, plus --job; it repeats nothing");
    auto& group = this->group(app_, "replays", "Those that were asked for, and how far each is (--api)");
    auto& list = verb(group, "list", "The newest first");
    list.add_option("--tenant", line_.tenant, "of one tenant");
    list.add_option("--state", line_.replay_state,
                    "waiting, running, cancelling, stopped, finished, cancelled or failed");
    list.add_option("--limit", line_.limit, "at most")->check(CLI::Range(1, 100'000))->capture_default_str();
    id(verb(group, "show", "How far it is"), "rpl_…");
    id(verb(group, "cancel", "End it after what it is sending; the rest stays open"), "rpl_…");
  }

  void proof() {
    auto& rebuild =
        verb(group(app_, "offsets", "The consumer group's offsets (--log)"), "rebuild",
             "After OFFSETS_LOST: commit for the group what the log shows to have settled (--log kafka://…, "
             "--environment, --yes). All daemons must be down, and one session timeout (15 s) over");
    partition(rebuild)->description("of events: the one that stopped [all]");
    auto& reconcile =
        verb(app_, "reconcile",
             "Account for every event and every endpoint that it matched, from the log alone; "
             "exit 1 if one is missing, 4 if the log no longer holds the span (--log; an embedded one with "
             "--keys, while its daemon is stopped)");
    reconcile.add_option("--since", line_.since,
                         "published at or after [the oldest event whose facts are all retained]");
    reconcile.add_option("--until", line_.until, "published before [now]");
    reconcile.add_option("--tenant", line_.tenant, "of one tenant");
    reconcile.add_option("--limit", line_.limit, "list at most so many of what is missing")
        ->check(CLI::Range(0, 1'000'000))
        ->capture_default_str();
  }

  // --- parts of verbs

  CLI::App& group(CLI::App& parent, const std::string& name, const std::string& help) {
    auto& made = *parent.add_subcommand(name, help);
    made.require_subcommand(1)->fallthrough();
    return made;
  }
  CLI::App& verb(CLI::App& parent, const std::string& name, const std::string& help) {
    auto& made = *parent.add_subcommand(name, help);
    made.fallthrough();
    const std::string whole = parent.get_parent() ? parent.get_name() + " " + name : name;
    made.callback([this, whole] { line_.verb = whole; });
    return made;
  }
  CLI::Option* partitions(CLI::App& verb) {
    return verb.add_option("--partitions", line_.partitions, "of events, parked, attempts and dead-letters")
        ->check(CLI::Range(1, 10'000));
  }
  CLI::Option* partition(CLI::App& verb) {
    return verb.add_option("--partition", line_.partition, "of events: the one that stopped")
        ->check(CLI::Range(0, 10'000));
  }
  void id(CLI::App& verb, const std::string& help) {
    verb.add_option("ID", line_.id, help)->required()->check([](const std::string& text) {
      return std::string(text.empty() ? "the id is empty" : "");
    });
  }
  void endpoint(CLI::App& verb) {
    verb.add_option("TENANT", line_.tenant)->required();
    verb.add_option("ID", line_.endpoint)->required();
  }
  void no_wait(CLI::App& verb) {
    verb.add_flag("--no-wait", line_.no_wait, "answer at once, before it is in force everywhere");
  }
  void filter(CLI::App& verb, bool with_state) {
    verb.add_option("--tenant", line_.tenant);
    verb.add_option("--endpoint", line_.endpoint);
    verb.add_option("--type", line_.type, "order.created, order.* or *");
    verb.add_option("--since", line_.since, "died at or after");
    verb.add_option("--until", line_.until, "died before");
    verb.add_option("--reason", line_.reason, all_reasons());
    if (with_state)
      verb.add_option("--state", line_.state, "open, replayed or resolved")
          ->check(CLI::IsMember({"open", "replayed", "resolved"}));
  }

  CLI::App& app_;
  CommandLine& line_;
};

std::vector<std::string> verbs_of(const CLI::App& group) {
  std::vector<std::string> names;
  for (const auto* each : group.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(each->get_name());
  return names;
}

// "endpoints list": of every group, and those that stand alone.
std::vector<std::string> whole_verbs(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* each : app.get_subcommands([](const CLI::App*) { return true; })) {
    const auto verbs = verbs_of(*each);
    if (verbs.empty()) names.push_back(each->get_name());
    for (const auto& verb : verbs) names.push_back(each->get_name() + " " + verb);
  }
  return names;
}

// What stands where a verb is wanted; nullopt: a verb is there.
std::optional<Error> verb_missing(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  const CLI::App& group = chosen.empty() ? app : *chosen.front();
  const auto known = verbs_of(group);
  if (known.empty() || !group.get_subcommands().empty()) return std::nullopt;
  const std::string prefix = chosen.empty() ? "" : group.get_name() + " ";
  std::vector<std::string> words;
  for (const auto& word : app.remaining(true))
    if (!word.starts_with('-')) words.push_back(word);
  const std::string there_are = "there are: " + listed(known) + "; --help says more";
  if (words.empty())
    return Error{Errc::invalid, "WRONG_USE",
                 chosen.empty() ? "a verb is missing" : "`" + group.get_name() + "` lacks its verb",
                 there_are};
  const auto first = prefix + words.front();
  auto meant = words.size() > 1 ? did_you_mean(first + " " + words[1], whole_verbs(app)) : std::string();
  if (meant.empty()) meant = did_you_mean(words.front(), known);
  if (meant.empty()) meant = did_you_mean(first, whole_verbs(app));
  return Error{Errc::invalid, "WRONG_USE", "there is no such verb: " + first.substr(0, 128),
               meant.empty() ? there_are : meant + " " + there_are};
}

}  // namespace

Result<std::optional<int>> parse_command_line(int count, const char* const* arguments, CommandLine& line) {
  CLI::App app("Runs Postrider: topics, endpoints, dead letters and their replay.", "postrider-ops");
  app.set_version_flag("--version", "postrider-ops 0.1.0");
  app.require_subcommand(1);
  app.footer(kFooter);
  Verbs(app, line).declare();
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // for help, version
    auto missing = verb_missing(app);
    if (asked && (!missing || app.remaining(true).empty())) return app.exit(error);
    // --json may stand behind what could not be read.
    for (int i = 1; i < count; ++i) line.json = line.json || std::string_view(arguments[i]) == "--json";
    if (missing && (asked || dynamic_cast<const CLI::RequiredError*>(&error)))
      return fail(*std::move(missing));
    return fail(Errc::invalid, "WRONG_USE", error.what(), "--help lists the verbs, VERB --help its options");
  }
  return std::nullopt;
}

}  // namespace postrider::ops
