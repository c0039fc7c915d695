#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace postrider {

// Values by token, in memory that is used again: no hashing, no allocation of its own once it has grown, and
// the place that was left last (still in the caches) is taken first. A token is never 0, and that of a
// removed value finds nothing. Values do not move. At most 268 million at once. Not thread-safe.
template <class T>
class Slab {
 public:
  struct Added {
    std::uint64_t token;
    T& value;
  };

  template <class... Args>
  Added add(Args&&... args) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(places_.size()));
      places_.emplace_back();
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    Place& place = places_[index];
    place.value.emplace(std::forward<Args>(args)...);
    ++size_;
    return {token_of(index, place.generation), *place.value};
  }

  T* find(std::uint64_t token) {
    const std::size_t index = index_of(token);
    if (index >= places_.size()) return nullptr;
    Place& place = places_[index];
    return place.value && place.generation == generation_of(token) ? &*place.value : nullptr;
  }
  const T* find(std::uint64_t token) const { return const_cast<Slab*>(this)->find(token); }

  void remove(std::uint64_t token) {
    if (find(token) == nullptr) return;
    const std::size_t index = index_of(token);
    Place& place = places_[index];
    place.value.reset();
    place.generation = place.generation == kGenerationMax ? 1 : place.generation + 1;
    free_.push_back(static_cast<std::uint32_t>(index));
    --size_;
  }

  // Calls `each(token, value)`, in no order; it may remove that value, and add none.
  template <class Each>
  void for_each(Each&& each) {
    for (std::size_t index = 0; index < places_.size(); ++index) {
      Place& place = places_[index];
      if (place.value) each(token_of(index, place.generation), *place.value);
    }
  }
  template <class Each>
  void for_each(Each&& each) const {
    const_cast<Slab*>(this)->for_each([&each](std::uint64_t token, const T& value) { each(token, value); });
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  struct Place {
    std::optional<T> value;
    std::uint64_t generation = 1;
  };
  // 28 bits of place below 36 of generation: one place taken 20,000 times a second comes round in 39 days.
  static constexpr int kIndexBits = 28;
  static constexpr std::uint64_t kGenerationMax = (std::uint64_t{1} << 36) - 1;
  static std::uint64_t token_of(std::size_t index, std::uint64_t generation) {
    return (generation << kIndexBits) | index;
  }
  static std::size_t index_of(std::uint64_t token) { return token & ((std::uint64_t{1} << kIndexBits) - 1); }
  static std::uint64_t generation_of(std::uint64_t token) { return token >> kIndexBits; }

  std::deque<Place> places_;
  std::vector<std::uint32_t> free_;
  std::size_t size_ = 0;
};

}  // namespace postrider
