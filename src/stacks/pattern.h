// Regular expressions over names, as Python's `re` reads them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace qsweep::stacks {

class Pattern {
 public:
  // `anchored`: it must fit from the begin on (re.match), else anywhere (re.search). Error where it does not
  // compile.
  Pattern(const std::string& pattern, bool anchored);

  // Error where that takes too many steps.
  bool fits(std::string_view name) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::string pattern_;
  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
};

}  // namespace qsweep::stacks
