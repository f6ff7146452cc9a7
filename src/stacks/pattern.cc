#define PCRE2_CODE_UNIT_WIDTH 8
#include "stacks/pattern.h"

#include <pcre2.h>

#include "base/error.h"
#include "io/json.h"

namespace qsweep::stacks {
namespace {

constexpr uint32_t kSteps = 100'000;  // for one name

struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

void Pattern::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

Pattern::Pattern(const std::string& pattern, bool anchored) : pattern_(pattern) {
  int error = 0;
  PCRE2_SIZE at = 0;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                            anchored ? PCRE2_ANCHORED : 0, &error, &at, nullptr));
  if (code_ == nullptr) fail("{} is no regular expression", io::shortened(pattern));
}

bool Pattern::fits(std::string_view name) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> data(
      pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  const std::unique_ptr<pcre2_match_context, FreeMatch> context(pcre2_match_context_create(nullptr));
  if (data == nullptr || context == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(context.get(), kSteps);
  const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, 0,
                                data.get(), context.get());
  if (found < 0 && found != PCRE2_ERROR_NOMATCH)
    fail("the regular expression {} takes too long on \"{}\"", io::shortened(pattern_), name);
  return found >= 0;
}

}  // namespace qsweep::stacks
