#include "base/trace.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/process.h"

namespace qsweep::trace {
namespace {

constexpr double kShortestUs = 20;  // of the spans in a trace at first
constexpr size_t kBufferBytes = size_t{1} << 16;
// Counters are sampled this often at first, later so many times in the time so far.
constexpr double kCountersS = 0.02, kCountersPerRun = 4000;

double seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

std::string quoted(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\')
      json += fmt::format("\\u{:04x}", byte);
    else
      json += c;
  }
  return json + '"';
}

}  // namespace

constinit thread_local Recorder* Recorder::current_ = nullptr;

Recorder::Recorder(Writer writer, int64_t events_per_limit)
    : writer_(std::move(writer)), events_per_limit_(events_per_limit), shortest_us_(kShortestUs) {
  QSWEEP_CHECK(current_ == nullptr, "this thread has a recorder already");
  current_ = this;
  write(R"({"displayTimeUnit":"ms","traceEvents":[
{"ph":"M","pid":1,"name":"process_name","args":{"name":"qsweep"}})");
}

Recorder::~Recorder() { current_ = nullptr; }

void Recorder::begin(Span& span) {
  span.outer_ = std::exchange(innermost_, &span);
  span.outer_phase_ = phase_;
  if (phase_ == 0 && std::string_view(span.kind_) == kPhase) {
    const auto known = std::ranges::find(phases_, span.name_, &Phase::name);
    phase_ = static_cast<size_t>(known - phases_.begin());
    if (known == phases_.end()) phases_.push_back({.name = std::string(span.name_)});
  }
  span.start_ = Clock::now();
}

void Recorder::end(Span& span) {
  const auto now = Clock::now();
  const double total_s = seconds(now - span.start_);
  Phase& phase = phases_[phase_];
  auto it = phase.kinds.find(std::string_view(span.kind_));
  if (it == phase.kinds.end()) it = phase.kinds.try_emplace(span.kind_).first;
  Account& account = it->second;
  ++account.calls;
  account.self_s += total_s - span.inside_s_;
  account.total_s += total_s;
  account.work.flops += span.work_.flops;
  account.work.bytes += span.work_.bytes;
  innermost_ = span.outer_;
  if (innermost_ != nullptr) innermost_->inside_s_ += total_s;
  if (phase_ != span.outer_phase_) phase.seconds += total_s;
  phase_ = span.outer_phase_;
  if (!writer_) return;
  flops_ += span.work_.flops;
  write_span(span, now);
  write_counters(now);
}

void Recorder::write_span(const Span& span, Clock::time_point now) {
  const double length_us = seconds(now - span.start_) * 1e6;
  if (length_us < shortest_us_) {
    ++left_out_;
    return;
  }
  std::string args = span.args_;
  if (span.work_.flops > 0) args += fmt::format(R"(,"flops":{:.0f})", span.work_.flops);
  if (span.work_.bytes > 0) args += fmt::format(R"(,"bytes":{:.0f})", span.work_.bytes);
  write(fmt::format(R"(,
{{"ph":"X","pid":1,"tid":1,"ts":{:.3f},"dur":{:.3f},"cat":{},"name":{},"args":{{{}}}}})",
                    seconds(span.start_ - start_) * 1e6, length_us, quoted(span.kind_),
                    quoted(span.name_.empty() ? span.kind_ : span.name_),
                    std::string_view(args).substr(args.empty() ? 0 : 1)));
  if (++written_ % events_per_limit_ == 0) shortest_us_ *= 2;
}

void Recorder::write_counters(Clock::time_point now) {
  const double since_s = seconds(now - last_counters_), so_far_s = seconds(now - start_);
  if (since_s < std::max(kCountersS, so_far_s / kCountersPerRun)) return;
  last_counters_ = now;
  for (const auto& [name, unit, value] :
       {std::tuple("resident memory", "MiB", static_cast<double>(resident_bytes()) * 0x1p-20),
        std::tuple("products", "GFLOP/s", std::exchange(flops_, 0) / since_s * 1e-9)})
    write(fmt::format(R"(,
{{"ph":"C","pid":1,"ts":{:.3f},"name":"{}","args":{{"{}":{:.3f}}}}})",
                      so_far_s * 1e6, name, unit, value));
}

void Recorder::write(std::string_view text) {
  if (!writer_) return;
  buffer_ += text;
  if (buffer_.size() >= kBufferBytes) flush();
}

// Spans end where no error may leave, so finish() is what reports it.
void Recorder::flush() {
  try {
    writer_(buffer_);
  } catch (...) {
    error_ = std::current_exception();
    writer_ = {};
  }
  buffer_.clear();
}

void Recorder::finish() {
  write(fmt::format("\n],\"otherData\":{{\"spans_left_out\":{},\"shorter_than_us\":{:.0f}}}}}\n", left_out_,
                    shortest_us_));
  if (writer_) flush();
  writer_ = {};
  if (error_) std::rethrow_exception(error_);
}

std::vector<Phase> Recorder::phases() const {
  std::vector<Phase> phases = phases_;
  if (phases.front().kinds.empty()) phases.erase(phases.begin());
  return phases;
}

void Span::add_arg(std::string_view key, int64_t value) {
  args_ += fmt::format(",{}:{}", quoted(key), value);
}
void Span::add_arg(std::string_view key, std::string_view value) {
  args_ += fmt::format(",{}:{}", quoted(key), quoted(value));
}

}  // namespace qsweep::trace
