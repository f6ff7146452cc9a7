// What is built from src/report/web and lies in the program.
#pragma once

#include <string_view>

namespace qsweep::report {

// The page, one file of HTML; the data takes the place of kPageData in it.
extern const std::string_view kPage;
inline constexpr std::string_view kPageData = "QSWEEP_DATA";
// A script for an engine of ECMAScript 5 without a browser; defines `pictures`.
extern const std::string_view kPictureScript;

}  // namespace qsweep::report
