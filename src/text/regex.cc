#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <algorithm>
#include <array>
#include <cctype>
#include <new>
#include <optional>

#include <pcre2.h>

#include "base/error.h"
#include "text/unicode.h"

namespace qsweep::text {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using CompileContext = std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>>;

template <class T>
T* allocated(T* object) {
  if (object == nullptr) throw std::bad_alloc();
  return object;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alnum(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

// Copies an Oniguruma pattern for PCRE2 and refuses what the two read differently.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : rest_(pattern) {}

  std::string run() {
    while (!rest_.empty()) {
      switch (rest_[0]) {
        case '\\':
          escape();
          break;
        case '[':
          character_class();
          break;
        case '(':
          group();
          break;
        case '{':
          interval();
          break;
        case '^':
        case '$':
          refuse(rest_.substr(0, 1));
        default:
          copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] static void refuse(std::string_view what) {
    fail(
        "\"{}\" is not supported; supported: literals, \\s \\S \\d \\D \\r \\n \\t \\f \\p{{..}} \\P{{..}}, "
        "plain classes, "
        "groups (..) (?:..) (?i:..) (?>..) (?=..) (?!..) (?<=..) (?<!..), and the quantifiers * + ? {{n}} "
        "{{n,}} {{n,m}}",
        what);
  }

  void copy(size_t bytes) {
    out_ += rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
  }

  void translate(size_t bytes, std::string_view to) {
    out_ += to;
    rest_.remove_prefix(bytes);
  }

  void escape() {
    if (rest_.size() < 2) refuse(rest_);
    const char c = rest_[1];
    // PCRE2's \s also matches U+180E, which is not White_Space any more.
    if (c == 's') return translate(2, "\\p{White_Space}");
    if (c == 'S') return translate(2, "\\P{White_Space}");
    if (c == 'p' || c == 'P') return property();
    if (is_alnum(c) && std::string_view("dDrntf").find(c) == std::string_view::npos)
      refuse(rest_.substr(0, 2));
    copy(2);
  }

  void property() {
    const size_t end = rest_.find('}');
    if (end == std::string_view::npos || rest_[2] != '{') refuse(rest_.substr(0, 3));
    const std::string_view name = rest_.substr(3, end - 3);
    if (name.empty() ||
        !std::all_of(name.begin(), name.end(), [](char c) { return is_alnum(c) || c == '_'; }))
      refuse(rest_.substr(0, end + 1));
    // One or two letters are a general category. Longer names are scripts, which PCRE2 would extend (scx).
    if (name.size() <= 2) return copy(end + 1);
    translate(end + 1, fmt::format("\\{}{{sc:{}}}", rest_[1], name));
  }

  void character_class() {
    const std::string_view whole = rest_;
    copy(rest_.starts_with("[^") ? 2 : 1);
    if (rest_.starts_with(']')) refuse("[]");
    while (!rest_.starts_with(']')) {
      if (rest_.empty()) fail("character class without end: \"{}\"", whole);
      if (rest_[0] == '[' || rest_.starts_with("&&"))
        refuse(whole.substr(0, whole.size() - rest_.size() + 1));
      if (rest_[0] == '\\') {
        escape();
      } else {
        copy(1);
      }
    }
    copy(1);
  }

  void group() {
    static constexpr std::array<std::string_view, 7> kKinds{
        "(?:", "(?i:", "(?>", "(?=", "(?!", "(?<=", "(?<!"};
    if (rest_.starts_with("(*")) refuse("(*");
    if (!rest_.starts_with("(?")) return copy(1);
    const auto kind =
        std::find_if(kKinds.begin(), kKinds.end(), [&](auto k) { return rest_.starts_with(k); });
    if (kind == kKinds.end()) refuse(rest_.substr(0, 4));
    copy(kind->size());
  }

  // Ruby reads {n}+ and {n}? otherwise than PCRE2 (a repeat of the repeat), and {,n} as a repeat.
  void interval() {
    size_t end = 1;
    const auto digits = [&] {
      const size_t begin = end;
      while (end < rest_.size() && is_digit(rest_[end])) ++end;
      return end > begin;
    };
    bool well_formed = digits();
    if (end < rest_.size() && rest_[end] == ',') {
      ++end;
      digits();
    }
    well_formed = well_formed && end < rest_.size() && rest_[end] == '}';
    const bool modified = end + 1 < rest_.size() && (rest_[end + 1] == '+' || rest_[end + 1] == '?');
    if (!well_formed || modified) refuse(rest_.substr(0, end + 2));
    copy(end + 1);
  }

  std::string_view rest_;
  std::string out_;
};

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

size_t character_bytes(std::string_view text, size_t at) {
  return at < text.size() ? utf8_first(text.substr(at)).bytes : 1;
}

constexpr size_t kFirstWindowBytes = 64;
constexpr size_t kWindowGrowth = 4;
// The usual patterns take one or two steps per character.
constexpr uint64_t kStepsPerWindowByte = 16;

}  // namespace

struct MatchBudget::State {
  MatchContext context{allocated(pcre2_match_context_create(nullptr))};
  MatchData data{allocated(pcre2_match_data_create(1, nullptr))};
  JitStack stack{allocated(pcre2_jit_stack_create(64 << 10, 8 << 20, nullptr))};
  uint64_t steps = 0;
  uint64_t steps_left = 0;

  // Where the match that begins at `from` ends. PCRE2 can limit the steps of a match but does not tell how
  // many it took, and scanning a run of one class counts as one step. So a match is tried within a short
  // window and few steps, which is free since there is at most one such try per character, then within ever
  // larger ones, which are taken off the budget as if all their steps were used.
  std::optional<size_t> match_at(const pcre2_code* code, std::string_view text, size_t from) {
    for (size_t window = kFirstWindowBytes;; window *= kWindowGrowth) {
      const uint64_t limit = window * kStepsPerWindowByte;
      if (window > kFirstWindowBytes) {
        if (limit > steps_left)
          fail("the pre-tokenizer's pattern gave up at byte {} of {}: more than {} steps for the whole text",
               from, text.size(), steps);
        steps_left -= limit;
      }
      pcre2_set_match_limit(context.get(), static_cast<uint32_t>(std::min<uint64_t>(limit, UINT32_MAX)));
      const int rc = match_within(code, text, from, window);
      if (rc == PCRE2_ERROR_NOMATCH) return std::nullopt;
      if (rc >= 0) return pcre2_get_ovector_pointer(data.get())[1];
      if (rc != PCRE2_ERROR_PARTIAL && rc != PCRE2_ERROR_MATCHLIMIT)
        fail("the pre-tokenizer's pattern gave up at byte {} of {}: {}", from, text.size(),
             pcre2_message(rc));
    }
  }

 private:
  // PCRE2's result for the text up to about `window` bytes from `from` on; PCRE2_ERROR_PARTIAL where what
  // comes behind them could matter.
  int match_within(const pcre2_code* code, std::string_view text, size_t from, size_t window) {
    uint32_t options = PCRE2_NO_UTF_CHECK;
    if (window < text.size() - from) {
      size_t end = from + window;
      while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) ++end;
      text = text.substr(0, end);
      options |= PCRE2_PARTIAL_HARD;
    }
    return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, options,
                       data.get(), context.get());
  }
};

MatchBudget::MatchBudget(size_t text_bytes) : state_(std::make_unique<State>()) {
  state_->steps = state_->steps_left = 1'000'000 + 256 * static_cast<uint64_t>(text_bytes);
  pcre2_set_heap_limit(state_->context.get(), 256 << 10);  // KiB
  pcre2_jit_stack_assign(state_->context.get(), nullptr, state_->stack.get());
}

MatchBudget::~MatchBudget() = default;

void Regex::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Regex::Regex(const std::string& pattern) {
  with_context(fmt::format("pattern \"{}\"", pattern), [&] {
    check_utf8(pattern);
    const std::string translated = Translator(pattern).run();
    const CompileContext context(allocated(pcre2_compile_context_create(nullptr)));
    pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
    int error = 0;
    size_t offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              PCRE2_ANCHORED | PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error,
                              &offset, context.get()));
    if (!code_) fail("does not compile: {} (at byte {} of \"{}\")", pcre2_message(error), offset, translated);
    // Without JIT support in the library the interpreter runs instead, so a refusal is no error.
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  });
}

std::vector<Regex::Piece> Regex::pieces(std::string_view text, MatchBudget& budget) const {
  std::vector<Piece> pieces;
  const auto add_gap = [&](size_t begin, size_t end) {
    if (begin < end) pieces.push_back({{begin, end}, false});
  };
  size_t done = 0;
  std::optional<size_t> last_end;
  for (size_t at = 0; at <= text.size();) {
    const auto end = budget.state().match_at(code_.get(), text, at);
    // An empty match right after a match is none.
    if (!end || (*end == at && last_end == at)) {
      at += character_bytes(text, at);
      continue;
    }
    add_gap(done, at);
    pieces.push_back({{at, *end}, true});
    at = done = *end;
    last_end = end;
  }
  add_gap(done, text.size());
  return pieces;
}

std::vector<std::string_view> Regex::split(std::string_view text, MatchBudget& budget) const {
  std::vector<std::string_view> texts;
  for (const auto& [bytes, matches] : pieces(text, budget))
    if (bytes.begin < bytes.end) texts.push_back(text.substr(bytes.begin, bytes.end - bytes.begin));
  return texts;
}

std::vector<std::string_view> Regex::split(std::string_view text) const {
  MatchBudget budget(text.size());
  return split(text, budget);
}

}  // namespace qsweep::text
