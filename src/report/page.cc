#include "report/page.h"

#include "io/atomic_file.h"
#include "report/assets.h"

namespace qsweep::report {
namespace {

// As text of an HTML element of type application/json, which ends at "</script" and may not hold "<!--".
std::string embedded(const io::Json& json) {
  std::string safe;
  for (const char c : json.dump(-1, ' ', true, io::Json::error_handler_t::replace))
    safe += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return safe;
}

}  // namespace

std::string page(const io::Json& view) {
  const size_t place = kPage.find(kPageData);
  QSWEEP_CHECK(place != std::string_view::npos, "no {} in the page", kPageData);
  std::string text(kPage.substr(0, place));
  text += embedded(view);
  return text += kPage.substr(place + kPageData.size());
}

void write_page(const Findings& findings, const std::string& folder) {
  io::write_file_atomically(folder + "/report.html", page(view(findings)));
}

}  // namespace qsweep::report
