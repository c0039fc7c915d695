#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/ids.h"
#include "engine/ports/key_service.h"

namespace postrider::crypto {

// Which key service is whose. One is common; a tenant may bring its own; those that were in use before only
// open what they wrapped, until that is wrapped anew. Borrows them all; filled at start, then only read, by
// any thread.
class KeyServices {
 public:
  // Implicit: one for all is the usual case.
  KeyServices(KeyService& common) : common_(common) { known_.emplace(common.name(), &common); }

  void add_own(const TenantId& tenant, KeyService& own) {
    own_.emplace(tenant, &own);
    known_.emplace(own.name(), &own);
  }
  void add_former(KeyService& former) { known_.emplace(former.name(), &former); }

  KeyService& common() const { return common_; }
  // The one that wraps that tenant's keys.
  KeyService& of(const TenantId& tenant) const {
    const auto own = own_.find(tenant);
    return own == own_.end() ? common_ : *own->second;
  }
  // By KeyService::name(); nullptr: none of ours.
  KeyService* named(std::string_view name) const {
    const auto known = known_.find(name);
    return known == known_.end() ? nullptr : known->second;
  }

 private:
  KeyService& common_;
  std::map<TenantId, KeyService*> own_;
  std::map<std::string, KeyService*, std::less<>> known_;
};

}  // namespace postrider::crypto
