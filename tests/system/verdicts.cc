// Judges webhooks with the file that customers copy. Arguments: secrets. A webhook a line of standard input,
// tabs between: now, then in hexadecimal id, timestamp, signature, x_signature, x_signature_next, body. A
// verdict a line comes out.
#include <iostream>
#include <sstream>

#include "consumers/verifier.h"

int main(int count, char** words) {
  webhooks::Verifier verifier;
  for (int i = 1; i < count; ++i) {
    if (!verifier.add_secret(words[i])) return 2;
  }
  std::string line;
  while (std::getline(std::cin, line)) {
    std::string field, fields[7];
    std::istringstream rest(line);
    for (auto& one : fields) {
      if (!std::getline(rest, field, '\t')) break;
      one = &one == fields ? field : webhooks::detail::hex_decode(field).value_or("");
    }
    const webhooks::Webhook webhook{fields[1], fields[2], fields[3], fields[4], fields[5], fields[6]};
    std::cout << webhooks::explain(verifier.verify(webhook, std::stoll(fields[0]))) << '\n';
  }
}
