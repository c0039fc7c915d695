#include "engine/daemon/hidden_memory.h"

#include <gperftools/malloc_extension.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace postrider {
namespace {

// Memory for tcmalloc, which aligns it to its own pages or to what a caller asks for.
class UndumpedMemory final : public SysAllocator {
 public:
  void* Alloc(std::size_t bytes, std::size_t* given, std::size_t alignment) override {
    const std::size_t page = static_cast<std::size_t>(getpagesize());
    if (alignment < page) alignment = page;
    if (bytes > SIZE_MAX - 2 * alignment) return nullptr;
    bytes = (bytes + alignment - 1) / alignment * alignment;
    const std::size_t more = alignment > page ? alignment - page : 0;
    void* const mapped =
        mmap(nullptr, bytes + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    auto* const begin = static_cast<char*>(mapped);
    const std::size_t before = (alignment - reinterpret_cast<std::uintptr_t>(begin) % alignment) % alignment;
    if (before > 0) munmap(begin, before);
    if (more > before) munmap(begin + before + bytes, more - before);
    madvise(begin + before, bytes, MADV_DONTDUMP);
    if (given != nullptr) *given = bytes;
    return begin + before;
  }
};

// What was given out before we came: anonymous and writable, and no stack.
void leave_present_heap_out() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char access[5] = {}, name[64] = {};
    unsigned long inode = 1;
    const int read = std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %lu %63s", &begin, &end,
                                 access, &inode, name);
    const bool heap = read == 4 || std::strcmp(name, "[heap]") == 0;
    if (read >= 4 && inode == 0 && heap && access[1] == 'w')
      madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTDUMP);
  }
}

}  // namespace

void leave_heap_out_of_cores() {
  static UndumpedMemory memory;  // for the process's life
  MallocExtension::instance()->SetSystemAllocator(&memory);
  leave_present_heap_out();
}

void forget_variables(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const bool same = std::strncmp(*entry, name.c_str(), name.size()) == 0 && (*entry)[name.size()] == '=';
      if (same) explicit_bzero(*entry + name.size() + 1, std::strlen(*entry + name.size() + 1));
    }
    unsetenv(name.c_str());
  }
}

}  // namespace postrider
