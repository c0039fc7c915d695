#pragma once
#include <string>
#include <string_view>

// What no log line may hold (O1, O3). Applied before a record is built. Pure.
namespace postrider::telemetry {

// Whether a header's or field's value is never logged: Authorization, Cookie and the like, and any name that
// speaks of a secret, token, password or key. ASCII case, '-' and '_' do not matter.
bool is_denied_name(std::string_view name);

inline constexpr std::string_view kRedacted = "[redacted]";

// The text without what URLs in it hide: their user info, and their query and fragment ("?…" stands for it);
// and without secrets in spellings of ours (whsec_, whsk_, ptk_). Text without either is returned as it is.
std::string redact(std::string_view text);

}  // namespace postrider::telemetry
