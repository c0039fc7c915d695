#pragma once
#include <string>
#include <vector>

// What a core, or a neighbour on the machine, would find of us.
namespace postrider {

// Leaves the heap out of cores, what stands there now and what will (MADV_DONTDUMP): payloads and key
// schedules lie there. Stacks stay in, so a core tells where it happened, and not what it held. Before
// threads start.
void leave_heap_out_of_cores();

// Overwrites the values of those environment variables where the system shows them (/proc/PID/environ), and
// takes the variables away. Before threads start.
void forget_variables(const std::vector<std::string>& names);

}  // namespace postrider
