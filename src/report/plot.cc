#include "report/plot.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "report/text.h"

namespace qsweep::report {
namespace {

constexpr double kWidth = 640, kHeight = 400, kLeft = 80, kRight = 20, kTop = 20, kBottom = 50;

// Where values of an axis stand between two places.
struct Axis {
  double low, high, from, to;

  double at(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

// Some 1, 2 or 5 times a power of ten apart.
std::vector<double> ticks(double low, double high) {
  const double rough = (high - low) / 6, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double step = power * (rough > 5 * power ? 10 : rough > 2 * power ? 5 : rough > power ? 2 : 1);
  std::vector<double> ticks;
  for (double i = std::ceil(low / step); i * step <= high * (1 + 1e-12); ++i) ticks.push_back(i * step);
  return ticks;
}

// Powers of ten, with 2 and 5 times them where the axis is short; in logarithms.
std::vector<double> log_ticks(double low, double high) {
  std::vector<double> ticks;
  for (double power = std::floor(low); power <= high; ++power)
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = power + std::log10(factor);
      const bool wanted = factor == 1 || high - low < 2;
      if (wanted && tick >= low && tick <= high) ticks.push_back(tick);
    }
  return ticks;
}

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '<' ? "&lt;" : c == '&' ? "&amp;" : std::string(1, c);
  return safe;
}

std::string label(double x, double y, const std::string& anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escaped(text));
}
std::string line(double x1, double y1, double x2, double y2) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ccc\"/>\n", x1,
                     y1, x2, y2);
}

}  // namespace

std::string svg(const Plot& plot) {
  std::vector<std::pair<double, double>> points;
  for (const auto& [x, y] : plot.points)
    if (std::isfinite(x) && std::isfinite(y) && y > 0) points.emplace_back(x, std::log10(y));
  std::ranges::sort(points);
  if (points.size() < 2 || points.front().first == points.back().first) return "";
  const auto [lowest, highest] = std::ranges::minmax(points, {}, &std::pair<double, double>::second);
  const Axis x{points.front().first, points.back().first, kLeft, kWidth - kRight};
  const Axis y{lowest.second - 0.05, highest.second + 0.05, kHeight - kBottom, kTop};
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  for (const double tick : ticks(x.low, x.high)) {
    text += line(x.at(tick), kTop, x.at(tick), kHeight - kBottom);
    text += label(x.at(tick), kHeight - kBottom + 16, "middle", fmt::format("{:.6g}", tick));
  }
  for (const double tick : log_ticks(y.low, y.high)) {
    text += line(kLeft, y.at(tick), kWidth - kRight, y.at(tick));
    text += label(kLeft - 6, y.at(tick) + 4, "end", number(std::pow(10.0, tick)));
  }
  text += label((kLeft + kWidth - kRight) / 2, kHeight - 12, "middle", plot.x);
  text += label(kLeft, kTop - 6, "start", plot.y);
  std::string path, dots;
  for (const auto& [px, py] : points) {
    path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", x.at(px), y.at(py));
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"#06c\"/>\n", x.at(px), y.at(py));
  }
  return text + fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"#06c\"/>\n", path) + dots +
         "</svg>\n";
}

}  // namespace qsweep::report
