#include "engine/wire/json_text.h"

#include <array>
#include <cstdint>

#include "engine/core/utf8.h"

namespace postrider::wire {
namespace {

unsigned char byte_at(std::string_view text, std::size_t at) {
  return static_cast<unsigned char>(text[at]);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Recursive descent; each function stands at the first byte of what it reads and ends behind it.
class Scanner {
 public:
  Scanner(std::string_view text, std::vector<JsonMember>* members) : text_(text), members_(members) {}

  bool document() {
    blanks();
    if (!value(0)) return false;
    blanks();
    return at_ == text_.size() || flaw("there is something after the value");
  }
  // The elements of an array, which the outermost value is.
  std::vector<std::string_view> take_elements() { return std::move(elements_); }
  JsonFlaw found() const { return flaw_; }
  JsonKind kind() const { return kind_; }

 private:
  bool flaw(const char* what) {
    if (flaw_.what.empty()) flaw_ = {what, at_};
    return false;
  }
  bool done() const { return at_ >= text_.size(); }
  char here() const { return text_[at_]; }
  bool is(char c) const { return !done() && here() == c; }
  void blanks() {
    while (!done() && (here() == ' ' || here() == '\t' || here() == '\n' || here() == '\r')) ++at_;
  }

  // Sets kind_ last, so that it is this value's and not that of something inside.
  bool value(int depth) {
    if (done()) return flaw("the text ends where a value should stand");
    switch (here()) {
      case '{':
        return object(depth) && became(JsonKind::object);
      case '[':
        return array(depth) && became(JsonKind::array);
      case '"':
        return string() && became(JsonKind::string);
      case 't':
        return word("true") && became(JsonKind::boolean);
      case 'f':
        return word("false") && became(JsonKind::boolean);
      case 'n':
        return word("null") && became(JsonKind::null);
      default:
        return number();
    }
  }
  bool became(JsonKind kind) {
    kind_ = kind;
    return true;
  }

  bool object(int depth) {
    if (depth >= kJsonDepthMax) return flaw("nested too deeply");
    ++at_;
    blanks();
    if (is('}')) return ++at_, true;
    while (true) {
      if (!member(depth)) return false;
      if (is('}')) return ++at_, true;
      if (!is(',')) return flaw("expected ',' or '}'");
      ++at_;
      blanks();
    }
  }

  bool member(int depth) {
    const auto name_begin = at_;
    if (!is('"')) return flaw("expected a member's name in quotes");
    if (!string()) return false;
    const auto name = text_.substr(name_begin, at_ - name_begin);
    blanks();
    if (!is(':')) return flaw("expected ':'");
    ++at_;
    blanks();
    const auto value_begin = at_;
    if (!value(depth + 1)) return false;
    if (depth == 0 && members_) {
      members_->push_back({name, text_.substr(value_begin, at_ - value_begin), kind_});
    }
    blanks();
    return true;
  }

  bool array(int depth) {
    if (depth >= kJsonDepthMax) return flaw("nested too deeply");
    ++at_;
    blanks();
    if (is(']')) return ++at_, true;
    while (true) {
      const auto begin = at_;
      if (!value(depth + 1)) return false;
      if (depth == 0) elements_.push_back(text_.substr(begin, at_ - begin));
      blanks();
      if (is(']')) return ++at_, true;
      if (!is(',')) return flaw("expected ',' or ']'");
      ++at_;
      blanks();
    }
  }

  bool string() {
    ++at_;
    while (!done()) {
      const unsigned char c = byte_at(text_, at_);
      if (c == '"') return ++at_, true;
      if (c < 0x20) return flaw("a control character stands unescaped in a string");
      if (c == '\\') {
        if (!escape()) return false;
      } else {
        const auto length = utf8_length(text_, at_);
        if (length == 0) return flaw("a string is not UTF-8");
        at_ += length;
      }
    }
    return flaw("a string has no end");
  }

  bool escape() {
    constexpr std::string_view kSimple = "\"\\/bfnrt";
    if (at_ + 1 >= text_.size()) return flaw("a string has no end");
    const char c = text_[at_ + 1];
    if (kSimple.find(c) != std::string_view::npos) return at_ += 2, true;
    if (c != 'u' || at_ + 6 > text_.size()) return flaw("not an escape");
    for (std::size_t i = at_ + 2; i < at_ + 6; ++i) {
      if (hex_digit(text_[i]) < 0) return flaw("not an escape");
    }
    at_ += 6;
    return true;
  }

  bool word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return flaw("not a JSON value");
    at_ += expected.size();
    return true;
  }

  bool digits() {
    const auto begin = at_;
    while (!done() && is_digit(here())) ++at_;
    return at_ > begin;
  }

  bool number() {
    bool whole = true;
    if (is('-')) ++at_;
    if (is('0')) {
      ++at_;
    } else if (!digits()) {
      return flaw("not a JSON value");
    }
    if (is('.')) {
      ++at_;
      whole = false;
      if (!digits()) return flaw("a number without its digits");
    }
    if (is('e') || is('E')) {
      ++at_;
      whole = false;
      if (is('+') || is('-')) ++at_;
      if (!digits()) return flaw("a number without its digits");
    }
    return became(whole ? JsonKind::integer : JsonKind::fraction);
  }

  std::string_view text_;
  std::vector<JsonMember>* members_;
  std::vector<std::string_view> elements_;
  std::size_t at_ = 0;
  JsonKind kind_ = JsonKind::null;
  JsonFlaw flaw_;
};

std::uint32_t four_hex(std::string_view text, std::size_t at) {
  std::uint32_t code = 0;
  for (std::size_t i = at; i < at + 4; ++i) code = code * 16 + static_cast<std::uint32_t>(hex_digit(text[i]));
  return code;
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// A "\uXXXX" at `at`, with its second half if it is a pair. Returns the bytes consumed; 0: half a pair.
std::size_t append_unicode_escape(std::string& out, std::string_view text, std::size_t at) {
  const auto first = four_hex(text, at + 2);
  if (first < 0xD800 || first > 0xDFFF) return append_utf8(out, first), 6;
  const bool pair = first < 0xDC00 && text.substr(at + 6, 2) == "\\u";
  const auto second = pair ? four_hex(text, at + 8) : 0;
  if (second < 0xDC00 || second > 0xDFFF) return 0;
  append_utf8(out, 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00));
  return 12;
}

char unescaped(char c) {
  switch (c) {
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return c;
  }
}

}  // namespace

bool is_json(std::string_view text) {
  return Scanner(text, nullptr).document();
}

std::optional<std::vector<JsonMember>> json_members(std::string_view text, JsonFlaw& flaw) {
  std::vector<JsonMember> members;
  Scanner scanner(text, &members);
  if (!scanner.document()) {
    flaw = scanner.found();
    return std::nullopt;
  }
  if (scanner.kind() != JsonKind::object) {
    flaw = {"it is not an object", 0};
    return std::nullopt;
  }
  return members;
}

std::optional<std::vector<std::string_view>> json_elements(std::string_view text, JsonFlaw& flaw) {
  Scanner scanner(text, nullptr);
  if (!scanner.document()) {
    flaw = scanner.found();
    return std::nullopt;
  }
  if (scanner.kind() != JsonKind::array) {
    flaw = {"it is not an array", 0};
    return std::nullopt;
  }
  return scanner.take_elements();
}

std::optional<std::string> unquote_json(std::string_view quoted) {
  const auto text = quoted.substr(1, quoted.size() - 2);
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] != '\\') {
      out += text[at++];
    } else if (text[at + 1] != 'u') {
      out += unescaped(text[at + 1]);
      at += 2;
    } else {
      const auto consumed = append_unicode_escape(out, text, at);
      if (consumed == 0) return std::nullopt;
      at += consumed;
    }
  }
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (std::size_t at = 0; at < text.size();) {
    const unsigned char c = byte_at(text, at);
    const auto length = utf8_length(text, at);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else if (c == '"' || c == '\\') {
      out += {'\\', static_cast<char>(c)};
    } else if (c < 0x20) {
      out += "\\u00";
      out += {kHex[c >> 4], kHex[c & 15]};
    } else {
      out += text.substr(at, length);
    }
    at += length == 0 ? 1 : length;
  }
  out += '"';
}

}  // namespace postrider::wire
