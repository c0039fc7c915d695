#pragma once
#include <rocksdb/slice_transform.h>

#include <algorithm>
#include <string_view>

namespace postrider::rocks {

// A key of history or index up to the byte below 4 that ends its first part: a delivery id, or "w" or "e" and
// an id (engine/flow/view.h). What is looked up there is one such part, and filters know which files have it.
inline std::size_t first_part_size(std::string_view key) {
  return static_cast<std::size_t>(std::ranges::find_if(key, [](char byte) { return byte >= 0 && byte < 4; }) -
                                  key.begin());
}

// Whether all keys in [from, to) have the first part of `from`.
inline bool is_one_part(std::string_view from, std::string_view to) {
  const std::size_t size = first_part_size(from);
  return size < from.size() && first_part_size(to) == size && size < to.size() &&
         from.substr(0, size) == to.substr(0, size);
}

class FirstPart : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "postrider.first-part"; }  // STORED in the view's files
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override {
    return {key.data(), first_part_size({key.data(), key.size()})};
  }
  bool InDomain(const rocksdb::Slice& key) const override {
    return first_part_size({key.data(), key.size()}) < key.size();
  }
};

}  // namespace postrider::rocks
