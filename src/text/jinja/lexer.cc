#include "text/jinja/lexer.h"

#include <array>
#include <cctype>
#include <charconv>

#include "base/error.h"
#include "text/unicode.h"

namespace qsweep::text::jinja {
namespace {

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }
bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Line breaks are \n, and one at the end of the source is none.
std::string normalized(std::string_view source) {
  std::string text;
  for (size_t i = 0; i < source.size(); ++i) {
    const bool pair = source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n';
    if (!pair) text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

// The number of `digits` hexadecimal digits at the front of `text`.
char32_t hex_digits(std::string_view text, size_t digits) {
  uint32_t value = 0;
  const auto [end, status] =
      std::from_chars(text.data(), text.data() + std::min(digits, text.size()), value, 16);
  if (status != std::errc() || end != text.data() + digits)
    fail("escape in a string without {} digits", digits);
  return value;
}

// What an escape stands for, as in Python; `text` begins behind the backslash. Returns the bytes it takes.
size_t append_escape(std::string_view text, std::string& value) {
  static constexpr std::string_view kFrom = "ntr\\'\"abfv", kTo = "\n\t\r\\'\"\a\b\f\v";
  if (text.empty()) fail("string without end");
  if (text[0] == '\n') return 1;  // a line that goes on
  if (const size_t known = kFrom.find(text[0]); known != std::string_view::npos) {
    value += kTo[known];
    return 1;
  }
  const size_t digits = text[0] == 'x' ? 2 : text[0] == 'u' ? 4 : text[0] == 'U' ? 8 : 0;
  if (digits == 0) {
    value += '\\';
    return 0;
  }
  const char32_t point = hex_digits(text.substr(1), digits);
  if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) fail("escape of no character in a string");
  append_utf8(value, point);
  return 1 + digits;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)), rest_(source_) {}

  std::vector<Segment> run() {
    while (!rest_.empty()) {
      const size_t open = find_tag();
      if (open == std::string_view::npos) {
        add_text(rest_);
        break;
      }
      tag(open);
    }
    return std::move(segments_);
  }

 private:
  size_t find_tag() const {
    for (size_t at = rest_.find('{'); at < rest_.size() - 1; at = rest_.find('{', at + 1))
      if (std::string_view("{%#").find(rest_[at + 1]) != std::string_view::npos) return at;
    return std::string_view::npos;
  }

  void add_text(std::string_view text) {
    if (!text.empty()) segments_.push_back({Segment::Kind::text, std::string(text), {}});
  }

  // The text before a tag, without the white space that the tag takes.
  std::string_view text_before(size_t open, char kind, char sign) const {
    std::string_view text = rest_.substr(0, open);
    if (sign == '-') {
      while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    } else if (sign != '+' && kind != '{') {
      std::string_view left = text;
      while (!left.empty() && is_space(left.back()) && left.back() != '\n') left.remove_suffix(1);
      const bool line_begins = left.empty() ? line_starting_ : left.back() == '\n';
      if (line_begins) text = left;
    }
    return text;
  }

  void tag(size_t open) {
    const char kind = rest_[open + 1];
    const char sign = open + 2 < rest_.size() ? rest_[open + 2] : ' ';
    add_text(text_before(open, kind, sign));
    rest_.remove_prefix(open + 2);
    if (sign == '-' || (sign == '+' && kind != '{')) rest_.remove_prefix(1);
    if (kind == '#') return comment();
    Segment segment{kind == '{' ? Segment::Kind::output : Segment::Kind::statement, {}, {}};
    const std::string_view end = kind == '{' ? "}}" : "%}";
    for (int depth = 0; !at_end(end, depth);) add_token(segment.tokens, depth);
    segment.tokens.push_back({Token::Kind::end, {}});
    segments_.push_back(std::move(segment));
    close(end, kind == '%');
  }

  void comment() {
    const size_t end = rest_.find("#}");
    if (end == std::string_view::npos) fail("comment without end");
    rest_.remove_prefix(end > 0 && (rest_[end - 1] == '-' || rest_[end - 1] == '+') ? end - 1 : end);
    close("#}", true);
  }

  bool at_end(std::string_view end, int depth) {
    while (!rest_.empty() && is_space(rest_[0])) rest_.remove_prefix(1);
    if (rest_.empty()) fail("tag without end");
    if (depth > 0) return false;
    const bool signed_end = rest_[0] == '-' || (rest_[0] == '+' && end == "%}");
    return rest_.substr(signed_end ? 1 : 0).starts_with(end);
  }

  void close(std::string_view end, bool takes_line_break) {
    const char sign = rest_[0];
    rest_.remove_prefix(sign == '-' || sign == '+' ? 1 + end.size() : end.size());
    line_starting_ = false;
    const auto take = [&] {
      line_starting_ = rest_[0] == '\n';
      rest_.remove_prefix(1);
    };
    if (sign == '-') {
      while (!rest_.empty() && is_space(rest_[0])) take();
    } else if (sign != '+' && takes_line_break && rest_.starts_with('\n')) {
      take();
    }
  }

  void add_token(std::vector<Token>& tokens, int& depth) {
    const char c = rest_[0];
    if (c == '\'' || c == '"') return add_string(tokens);
    size_t size = 0;
    while (size < rest_.size() && is_name(rest_[size])) ++size;
    if (size > 0 && is_digit(c)) return add_integer(tokens, size);
    if (size > 0) return add(tokens, Token::Kind::name, size);
    static constexpr std::array<std::string_view, 6> kTwo{"==", "!=", "<=", ">=", "//", "**"};
    for (const std::string_view sign : kTwo)
      if (rest_.starts_with(sign)) return add(tokens, Token::Kind::sign, 2);
    if (std::string_view("+-*/%~<>=()[]{}.,:|").find(c) == std::string_view::npos)
      fail("\"{}\" in a tag", std::isprint(static_cast<unsigned char>(c)) != 0 ? c : '?');
    if (std::string_view("([{").find(c) != std::string_view::npos) ++depth;
    if (std::string_view(")]}").find(c) != std::string_view::npos) --depth;
    add(tokens, Token::Kind::sign, 1);
  }

  void add(std::vector<Token>& tokens, Token::Kind kind, size_t size) {
    tokens.push_back({kind, std::string(rest_.substr(0, size))});
    rest_.remove_prefix(size);
  }

  void add_integer(std::vector<Token>& tokens, size_t size) {
    int64_t value = 0;
    const auto [end, status] = std::from_chars(rest_.data(), rest_.data() + size, value);
    if (status != std::errc() || end != rest_.data() + size)
      fail("number {} is not supported; supported: whole numbers", rest_.substr(0, size));
    tokens.push_back({Token::Kind::integer, {}, value});
    rest_.remove_prefix(size);
  }

  void add_string(std::vector<Token>& tokens) {
    const char quote = rest_[0];
    rest_.remove_prefix(1);
    std::string value;
    while (!rest_.starts_with(quote)) {
      if (rest_.empty()) fail("string without end");
      const char c = rest_[0];
      rest_.remove_prefix(1);
      if (c == '\\') {
        rest_.remove_prefix(append_escape(rest_, value));
      } else {
        value += c;
      }
    }
    rest_.remove_prefix(1);
    tokens.push_back({Token::Kind::string, std::move(value)});
  }

  std::string source_;
  std::string_view rest_;
  bool line_starting_ = true;  // a line begins where the rest does
  std::vector<Segment> segments_;
};

}  // namespace

std::vector<Segment> split_template(std::string_view source) { return Lexer(normalized(source)).run(); }

}  // namespace qsweep::text::jinja
