#include "base/trace.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <tuple>
#include <utility>

#include <fmt/compile.h>

#include "base/error.h"
#include "base/process.h"

namespace qsweep::trace {
namespace {

constexpr std::chrono::microseconds kShortest{50};  // of the spans in a trace at first
constexpr size_t kBufferBytes = size_t{1} << 16;
// Counters are sampled this often at first, later so many times in the time so far.
constexpr double kCountersS = 0.02, kCountersPerRun = 4000;

constexpr size_t kMostMarked = size_t{1} << 15;  // a device's clock is not asked before

double seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

// The format's times are in microseconds.
void append_us(std::string& json, std::chrono::steady_clock::duration time) {
  const int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
  fmt::format_to(std::back_inserter(json), FMT_COMPILE("{}.{:03}"), ns / 1000, ns % 1000);
}

void append_quoted(std::string& json, std::string_view text) {
  json += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\')
      json += fmt::format("\\u{:04x}", byte);
    else
      json += c;
  }
  json += '"';
}

void append_arg(std::string& json, std::string_view key, int64_t value) {
  append_quoted(json, key);
  fmt::format_to(std::back_inserter(json), FMT_COMPILE(":{},"), value);
}

}  // namespace

constinit thread_local Recorder* Recorder::current_ = nullptr;

Recorder::Recorder(Writer writer, int64_t events_per_limit)
    : writer_(std::move(writer)), events_per_limit_(events_per_limit), shortest_(kShortest) {
  QSWEEP_CHECK(current_ == nullptr, "this thread has a recorder already");
  current_ = this;
  buffer_ = R"({"displayTimeUnit":"ms","traceEvents":[
{"ph":"M","pid":1,"name":"process_name","args":{"name":"qsweep"}})";
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
  if (clock_ != nullptr) span.mark_ = clock_->mark();
  span.start_ = Clock::now();
}

Account& Recorder::account(size_t phase, const char* kind) {
  auto& kinds = phases_[phase].kinds;
  const auto it = kinds.find(std::string_view(kind));
  return it == kinds.end() ? kinds[kind] : it->second;
}

void Recorder::use_clock(DeviceClock* clock) {
  settle();
  clock_ = clock;
}

void Recorder::settle() {
  for (const Marked& span : std::exchange(marked_, {})) {
    const double total_s = clock_->seconds(span.begin, span.end);
    span.account->self_s += total_s;
    span.account->total_s += total_s;
    if (span.outer != nullptr) span.outer->self_s -= total_s;
  }
}

void Recorder::end(Span& span) {
  const auto now = Clock::now();
  const double total_s = seconds(now - span.start_);
  Account& account = this->account(phase_, span.kind_);
  ++account.calls;
  if (span.mark_ && clock_ != nullptr) {
    Account* const outer =
        span.outer_ == nullptr ? nullptr : &this->account(span.outer_phase_, span.outer_->kind_);
    marked_.push_back({&account, outer, *span.mark_, clock_->mark()});
    if (marked_.size() >= kMostMarked) settle();
  } else {
    account.self_s += total_s - span.inside_s_;
    account.total_s += total_s;
  }
  account.work.flops += span.work_.flops;
  account.work.bytes += span.work_.bytes;
  innermost_ = span.outer_;
  if (innermost_ != nullptr) innermost_->inside_s_ += total_s;
  if (phase_ != span.outer_phase_) phases_[phase_].seconds += total_s;
  phase_ = span.outer_phase_;
  if (!writer_) return;
  flops_ += span.work_.flops;
  write_span(span, now);
  write_counters(now);
}

void Recorder::write_span(const Span& span, Clock::time_point now) {
  if (now - span.start_ < shortest_) {
    ++left_out_;
    return;
  }
  std::string& json = buffer_;
  json += ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":";
  append_us(json, span.start_ - start_);
  json += ",\"dur\":";
  append_us(json, now - span.start_);
  json += ",\"cat\":";
  append_quoted(json, span.kind_);
  json += ",\"name\":";
  append_quoted(json, span.name_.empty() ? span.kind_ : span.name_);
  json += ",\"args\":{";
  for (const Span::Arg& arg : std::span(span.arg_).first(span.args_)) {
    if (arg.text.empty()) {
      append_arg(json, arg.key, arg.number);
      continue;
    }
    append_quoted(json, arg.key);
    json += ':';
    append_quoted(json, arg.text);
    json += ',';
  }
  if (span.work_.flops > 0) append_arg(json, "flops", static_cast<int64_t>(span.work_.flops));
  if (span.work_.bytes > 0) append_arg(json, "bytes", static_cast<int64_t>(span.work_.bytes));
  if (json.back() == ',') json.pop_back();
  json += "}}";
  if (++written_ % events_per_limit_ == 0) shortest_ *= 2;
  flush_if_full();
}

void Recorder::write_counters(Clock::time_point now) {
  const double since_s = seconds(now - last_counters_), so_far_s = seconds(now - start_);
  if (since_s < std::max(kCountersS, so_far_s / kCountersPerRun)) return;
  last_counters_ = now;
  for (const auto& [name, unit, value] :
       {std::tuple("resident memory", "MiB", static_cast<double>(resident_bytes()) * 0x1p-20),
        std::tuple("products", "GFLOP/s", std::exchange(flops_, 0) / since_s * 1e-9)})
    buffer_ += fmt::format(R"(,
{{"ph":"C","pid":1,"ts":{:.3f},"name":"{}","args":{{"{}":{:.3f}}}}})",
                           so_far_s * 1e6, name, unit, value);
  flush_if_full();
}

void Recorder::flush_if_full() {
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
  buffer_ += fmt::format("\n],\"otherData\":{{\"spans_left_out\":{},\"shorter_than_us\":{}}}}}\n", left_out_,
                         std::chrono::duration_cast<std::chrono::microseconds>(shortest_).count());
  if (writer_) flush();
  writer_ = {};
  if (error_) std::rethrow_exception(error_);
}

std::vector<Phase> Recorder::phases() {
  settle();
  std::vector<Phase> phases = phases_;
  if (phases.front().kinds.empty()) phases.erase(phases.begin());
  return phases;
}

}  // namespace qsweep::trace
